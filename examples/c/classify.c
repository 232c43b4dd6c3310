/* Classifies a PPM image with a model from `engraft export --with-preprocess`.
 *     cc classify.c -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o classify
 *     ./classify model.onnx image.ppm
 */
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

static const OrtApi *ort;

static void check(OrtStatus *status) {
  if (!status) return;
  fprintf(stderr, "classify: %s\n", ort->GetErrorMessage(status));
  exit(1);
}

static unsigned char *read_ppm(const char *path, int64_t *width, int64_t *height) {
  FILE *file = fopen(path, "rb");
  unsigned w, h, most;
  if (!file || fscanf(file, "P6 %u %u %u", &w, &h, &most) != 3 || most != 255 || !w || !h || w > 65535 || h > 65535) {
    fprintf(stderr, "classify: %s is no binary PPM of 8 bits a channel\n", path);
    exit(1);
  }
  fgetc(file);
  size_t size = (size_t)3 * w * h;
  unsigned char *pixels = malloc(size);
  if (!pixels || fread(pixels, 1, size, file) != size) {
    fprintf(stderr, "classify: %s is cut off\n", path);
    exit(1);
  }
  fclose(file);
  *width = w, *height = h;
  return pixels;
}

int main(int count, char **arguments) {
  if (count != 3) return fprintf(stderr, "usage: classify model.onnx image.ppm\n"), 2;
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (!ort) return fprintf(stderr, "classify: the ONNX Runtime library is older than its header\n"), 1;
  OrtEnv *env;
  OrtSessionOptions *options;
  OrtSession *session;
  OrtMemoryInfo *memory;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "classify", &env));
  check(ort->CreateSessionOptions(&options));
  check(ort->CreateSession(env, arguments[1], options, &session));
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));

  int64_t shape[4] = {1, 0, 0, 3};
  unsigned char *pixels = read_ppm(arguments[2], &shape[2], &shape[1]);
  OrtValue *image, *outputs[2] = {NULL, NULL};
  size_t bytes = (size_t)(3 * shape[1] * shape[2]);
  check(ort->CreateTensorWithDataAsOrtValue(memory, pixels, bytes, shape, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, &image));
  const char *inputs[] = {"image"}, *names[] = {"label", "probabilities"};
  check(ort->Run(session, NULL, inputs, (const OrtValue *const *)&image, 1, names, 2, outputs));

  size_t length, classes;
  float *probabilities, best = 0;
  OrtTensorTypeAndShapeInfo *info;
  check(ort->GetStringTensorElementLength(outputs[0], 0, &length));
  char *label = calloc(length + 1, 1);
  check(ort->GetStringTensorElement(outputs[0], length, 0, label));
  check(ort->GetTensorTypeAndShape(outputs[1], &info));
  check(ort->GetTensorShapeElementCount(info, &classes));
  check(ort->GetTensorMutableData(outputs[1], (void **)&probabilities));
  for (size_t i = 0; i < classes; i++) best = probabilities[i] > best ? probabilities[i] : best;
  printf("%s\t%s\t%.4f\n", arguments[2], label, best);
  return 0;
}
