// Classifies PNGs with a model from `engraft export --with-preprocess`:  node classify.mjs model.onnx image.png…
import { readFileSync } from "node:fs";
import ort from "onnxruntime-node";
import { PNG } from "pngjs";

const [model, ...paths] = process.argv.slice(2);
const session = await ort.InferenceSession.create(model);
for (const path of paths) {
  const { width, height, data } = PNG.sync.read(readFileSync(path));
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const alpha = data[4 * i + 3] / 255;
    // What is transparent is shown on white.
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = Math.round(data[4 * i + c] * alpha + 255 * (1 - alpha));
  }
  const image = new ort.Tensor("uint8", rgb, [1, height, width, 3]);
  const { label, probabilities } = await session.run({ image }, ["label", "probabilities"]);
  console.log(`${path}\t${label.data[0]}\t${Math.max(...probabilities.data).toFixed(4)}`);
}
