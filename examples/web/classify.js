// A model from `engraft export --with-preprocess`, in the browser: bytes of pixels in, a label out.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;

/** Opens a model from its bytes. */
export async function open(bytes) {
  const session = await ort.InferenceSession.create(bytes);
  const [input] = session.inputMetadata;
  if (input.type !== "uint8") {
    throw new Error(`the model takes ${input.type}, not bytes of pixels: export it with --with-preprocess`);
  }
  return { session, input: input.name };
}

/** The RGB pixels of an image file, what is transparent shown on white. */
async function pixels(file) {
  const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return new ort.Tensor("uint8", rgb, [1, height, width, 3]);
}

/** Classifies one image file: its label, the probability of that, and the milliseconds that the model took. */
export async function classify({ session, input }, file) {
  const feeds = { [input]: await pixels(file) };
  const started = performance.now();
  const { label, logits, probabilities } = await session.run(feeds, ["label", "logits", "probabilities"]);
  const milliseconds = performance.now() - started;
  return { label: label.data[0], probability: Math.max(...probabilities.data), logits: [...logits.data], milliseconds };
}
