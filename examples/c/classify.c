/* Classifies images with a model from `engraft export --with-preprocess`: ONNX Runtime's C API alone.
 *
 *     cc classify.c -I include -L lib -lonnxruntime -o classify
 *     ./classify model.onnx photo.ppm...
 *
 * The images are binary PPM, which `convert photo.jpg photo.ppm` writes. */
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

static const OrtApi *ort;

static void check(OrtStatus *status) {
    if (status == NULL) return;
    fprintf(stderr, "classify: %s\n", ort->GetErrorMessage(status));
    exit(1);
}

/* The pixels of a PPM file, RGB, row by row; free() them. */
static unsigned char *read_ppm(const char *path, int64_t *height, int64_t *width) {
    unsigned w, h, most;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fscanf(file, "P6 %u %u %u", &w, &h, &most) != 3 || most != 255 || w == 0 || h == 0 || w > 16384 || h > 16384 ||
        fgetc(file) == EOF) {
        fprintf(stderr, "classify: %s is no PPM image of 8 bits\n", path);
        exit(1);
    }
    size_t size = (size_t)w * h * 3;
    unsigned char *pixels = malloc(size);
    if (pixels == NULL || fread(pixels, 1, size, file) != size) {
        fprintf(stderr, "classify: %s ends early\n", path);
        exit(1);
    }
    fclose(file);
    *height = h, *width = w;
    return pixels;
}

int main(int count, char **arguments) {
    if (count < 3) return fprintf(stderr, "usage: classify MODEL.onnx IMAGE.ppm...\n"), 2;
    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (ort == NULL) return fprintf(stderr, "classify: this ONNX Runtime is older than the header it was compiled with\n"), 1;
    OrtEnv *environment;
    OrtSessionOptions *options;
    OrtSession *session;
    OrtMemoryInfo *memory;
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "classify", &environment));
    check(ort->CreateSessionOptions(&options));
    check(ort->CreateSession(environment, arguments[1], options, &session));
    check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    for (int i = 2; i < count; i++) {
        int64_t shape[4] = {1, 0, 0, 3};
        unsigned char *pixels = read_ppm(arguments[i], &shape[1], &shape[2]);
        const char *inputs[] = {"image"}, *outputs[] = {"label", "probabilities"};
        OrtValue *image = NULL, *found[2] = {NULL, NULL};
        check(ort->CreateTensorWithDataAsOrtValue(memory, pixels, shape[1] * shape[2] * 3, shape, 4,
                                                  ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, &image));
        check(ort->Run(session, NULL, inputs, (const OrtValue *const *)&image, 1, outputs, 2, found));
        size_t length, classes;
        check(ort->GetStringTensorElementLength(found[0], 0, &length));
        char *label = calloc(length + 1, 1);
        check(ort->GetStringTensorElement(found[0], length, 0, label));
        OrtTensorTypeAndShapeInfo *info;
        float *probabilities, greatest = 0;
        check(ort->GetTensorTypeAndShape(found[1], &info));
        check(ort->GetTensorShapeElementCount(info, &classes));
        check(ort->GetTensorMutableData(found[1], (void **)&probabilities));
        for (size_t k = 0; k < classes; k++) greatest = probabilities[k] > greatest ? probabilities[k] : greatest;
        printf("%s\t%s\t%.4f\n", arguments[i], label, greatest);
        free(label), free(pixels);
        ort->ReleaseTensorTypeAndShapeInfo(info);
        ort->ReleaseValue(image), ort->ReleaseValue(found[0]), ort->ReleaseValue(found[1]);
    }
    ort->ReleaseMemoryInfo(memory), ort->ReleaseSession(session), ort->ReleaseSessionOptions(options), ort->ReleaseEnv(environment);
    return 0;
}
