// Opens a page in headless Chromium and tells, as JSON, what is on it and what went wrong.
// Arguments: the folder of the npm packages, the page, a folder for pictures.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [packages, page, pictures] = process.argv.slice(2);
const require = createRequire(join(packages, "package.json"));
const load = async (name) => {
  const module = await import(pathToFileURL(require.resolve(name)).href);
  return module.default?.default ?? module.default ?? module;
};
const [chromium, puppeteer] = [await load("@sparticuz/chromium"), await load("puppeteer-core")];
const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  // The page is judged as a browser shows it: none of the package's flags that let more through.
  // One process cannot protect its compiled code by keys: on processors that have them a page would end by a trap.
  args: ["--no-sandbox", "--no-zygote", "--single-process", "--js-flags=--no-memory-protection-keys", "--font-render-hinting=none"],
  headless: "shell",
});
const results = [];
try {
  for (const scheme of ["light", "dark"]) {
    for (const width of [1280, 400]) {
      const tab = await browser.newPage();
      const [errors, requests] = [[], []];
      tab.on("console", (message) => errors.push(`${message.type()}: ${message.text()}`));
      tab.on("pageerror", (error) => errors.push(`${error.message}`));
      tab.on("request", (request) => {
        if (!request.url().startsWith("data:") && !request.url().startsWith("file:")) requests.push(request.url());
      });
      await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await tab.setViewport({ width, height: 900 });
      await tab.goto(pathToFileURL(page).href, { waitUntil: "load" });
      // Over the first point of the visible map.
      const tip = await tab.evaluate(() => {
        const plane = [...document.querySelectorAll(".plane")].find((plane) => plane.offsetHeight > 0);
        const source = document.getElementById("points");
        if (!plane || !source) return null;
        const svg = plane.querySelector("svg");
        svg.scrollIntoView();
        const { points, at } = JSON.parse(source.textContent);
        const [box, [x, y]] = [svg.getBoundingClientRect(), at[plane.dataset.map][0]];
        const scale = box.width / svg.viewBox.baseVal.width;
        const where = { clientX: box.left + x * scale, clientY: box.top + y * scale, bubbles: true };
        svg.dispatchEvent(new PointerEvent("pointermove", where));
        const tip = document.getElementById("tip");
        return { shown: !tip.hidden, text: tip.textContent, pictures: tip.querySelectorAll("img").length, points: points.length };
      });
      const found = await tab.evaluate(() => ({
        sections: [...document.querySelectorAll("section")].map((section) => section.id),
        charts: document.querySelectorAll(".chart svg").length,
        shapes: document.querySelectorAll(".chart svg *").length,
        gallery: document.querySelectorAll(".gallery figure").length,
        pictures: [...document.querySelectorAll(".gallery img")].filter((i) => { i.loading = "eager"; return true; }).length,
        scripts: document.querySelectorAll("script").length,
        overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        ground: getComputedStyle(document.body).backgroundColor,
        ink: getComputedStyle(document.body).color,
        text: document.body.innerText,
      }));
      const decoded = await tab.evaluate(async () => {
        const images = [...document.querySelectorAll(".gallery img")];
        const sizes = await Promise.all(images.map((image) => image.decode().then(() => image.naturalWidth, () => 0)));
        return sizes.filter((size) => size > 0).length;
      });
      await tab.evaluate(() => window.scrollTo(0, 0));
      await tab.screenshot({ path: join(pictures, `${scheme}-${width}.png`), fullPage: true });
      results.push({ scheme, width, errors, requests, tip, decoded, ...found });
      if (scheme === "dark" && width === 1280) {
        await tab.pdf({ path: join(pictures, "print.pdf"), format: "A4", printBackground: false });
      }
      await tab.close();
    }
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(results));
