"use strict";
(() => {
  const source = document.getElementById("points");
  if (!source) return;
  const { labels, points, at } = JSON.parse(source.textContent);
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  const line = (text, name) => {
    const element = document.createElement("div");
    if (name) element.className = name;
    element.textContent = text;
    return element;
  };
  const show = (event, [id, label, predicted, percent, picture, text]) => {
    tip.replaceChildren();
    if (picture) {
      const image = document.createElement("img");
      image.src = picture;
      image.alt = id;
      tip.append(image);
    }
    if (text) tip.append(line(text));
    if (label !== predicted) tip.append(line(`${labels[predicted]} ${percent}`, "wrong"));
    tip.append(line(label === predicted ? `${labels[label]} ${percent}` : labels[label], "right"), line(id, "id"));
    tip.hidden = false;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(0, Math.min(event.clientX + 14, room)) + window.scrollX}px`;
    tip.style.top = `${event.clientY + 14 + window.scrollY}px`;
  };
  for (const plane of document.querySelectorAll(".plane")) {
    const svg = plane.querySelector("svg");
    const places = at[plane.dataset.map];
    const find = (event) => {
      const box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      const x = (event.clientX - box.left) * scale;
      const y = (event.clientY - box.top) * scale;
      let best = -1;
      let least = 144;
      places.forEach(([px, py], i) => {
        const far = (px - x) ** 2 + (py - y) ** 2;
        if (far < least) [best, least] = [i, far];
      });
      if (best < 0) hide();
      else show(event, points[best]);
    };
    svg.addEventListener("pointermove", find);
    svg.addEventListener("pointerdown", find);
    svg.addEventListener("pointerleave", hide);
  }
})();
