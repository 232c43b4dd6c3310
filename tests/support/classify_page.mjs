// Opens examples/web in headless Chromium, gives it a model and images, and tells what it says of them, as JSON.
// Arguments: the browser's npm packages, a folder with onnxruntime-web, the example, the model, a folder of images, a folder for pictures.
import { createReadStream, existsSync, readdirSync, statSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [packages, runtime, example, model, images, pictures] = process.argv.slice(2);
const require = createRequire(join(packages, "package.json"));
const load = async (name) => {
  const module = await import(pathToFileURL(require.resolve(name)).href);
  return module.default?.default ?? module.default ?? module;
};
const [chromium, puppeteer] = [await load("@sparticuz/chromium"), await load("puppeteer-core")];

const types = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };
const server = http.createServer((request, response) => {
  const path = new URL(request.url, "http://localhost").pathname.replace(/\/$/, "/index.html");
  const file = join(path.startsWith("/node_modules/") ? runtime : example, path);
  if (path.includes("..") || !existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));

const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  // One process cannot protect its compiled code by keys: on processors that have them a page would end by a trap.
  args: ["--no-sandbox", "--no-zygote", "--single-process", "--js-flags=--no-memory-protection-keys"],
  headless: "shell",
});
const results = [];
try {
  for (const scheme of ["light", "dark"]) {
    const tab = await browser.newPage();
    const errors = [];
    // That the page looks for a model beside itself and finds none is meant.
    tab.on("console", (m) => m.location().url?.endsWith("/model.onnx") || errors.push(`${m.type()}: ${m.text()}`));
    tab.on("pageerror", (error) => errors.push(error.message));
    await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await tab.setViewport({ width: 900, height: 900 });
    await tab.goto(`http://127.0.0.1:${server.address().port}/`, { waitUntil: "load" });
    const says = (pattern) =>
      tab.waitForFunction((p) => new RegExp(p).test(document.getElementById("status").textContent), { timeout: 90000 }, pattern);
    await says("Choose a model");
    await (await tab.$("#model")).uploadFile(model);
    await says("is ready|cannot be used");
    const files = readdirSync(images).map((name) => join(images, name));
    await (await tab.$("#images")).uploadFile(...files);
    const done = "#results li[data-label], #results li[data-error]";
    await tab.waitForFunction((d, n) => document.querySelectorAll(d).length === n, { timeout: 90000 }, done, files.length);
    results.push({
      errors,
      status: await tab.$eval("#status", (element) => element.textContent),
      items: await tab.$$eval("#results li", (items) => items.map((item) => ({ ...item.dataset, shown: item.innerText }))),
    });
    await tab.screenshot({ path: join(pictures, `${scheme}.png`) });
    await tab.close();
  }
} finally {
  await browser.close();
  server.close();
}
console.log(JSON.stringify(results));
