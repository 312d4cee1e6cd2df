// Slices, windows and regions of one series.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const viewer = document.getElementById("viewer");
const base = viewer.dataset.base;
const figures = [...viewer.querySelectorAll(".viewer")];
const boxes = [...viewer.querySelectorAll(".one-region")];
const all = document.getElementById("all-regions");
let outlines = [];

const windowNow = () => viewer.querySelector("input[name=window]:checked").value;
const address = (index) => `${base}/slices/${index}?window=${windowNow()}`;
const shown = (figure) => Number(figure.querySelector("input[type=range]").value);

function show(figure, index) {
  const range = figure.querySelector("input[type=range]");
  const last = Number(range.max);
  const wanted = Math.min(Math.max(index, 0), last);
  range.value = wanted;
  draw(figure);
}

function draw(figure) {
  const index = shown(figure);
  const last = Number(figure.querySelector("input[type=range]").max);
  const chosen = Number(figure.dataset.index);
  const picture = figure.querySelector("image");
  if (picture.getAttribute("href") !== address(index)) picture.setAttribute("href", address(index));
  let text = `slice ${index + 1} of ${last + 1}`;
  if (index === chosen) text += ", chosen";
  else if (String(index) === figure.dataset.runnerUp) text += ", runner-up";
  figure.querySelector(".where").textContent = text;
  figure.querySelector(".picture").setAttribute("aria-label", `${figure.dataset.level}, ${text}`);
  figure.classList.toggle("off", index !== chosen);
  drawRegions(figure, index);
  for (const near of [index + 1, index - 1]) if (near >= 0 && near <= last) new Image().src = address(near);
}

function drawRegions(figure, index) {
  const on = new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value)));
  const group = figure.querySelector(".regions");
  const here = outlines.filter((item) => item.index === index && on.has((item.number - 1) % 10 + 1));
  group.replaceChildren(
    ...here.flatMap((item) => ["rim", "line"].map((name) => path(item, name))),
    ...here.map(label),
  );
}

function path(item, name) {
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", item.path);
  line.setAttribute("class", name);
  line.dataset.number = (item.number - 1) % 10 + 1;
  if (name === "line") {
    const swatch = boxes[line.dataset.number - 1].parentElement.querySelector("rect");
    line.setAttribute("stroke", swatch.getAttribute("fill"));
    line.setAttribute("fill", swatch.getAttribute("fill"));
    const title = document.createElementNS(SVG, "title");
    const side = item.number > 10 ? "left" : "right";
    title.textContent = `${side} ${boxes[line.dataset.number - 1].parentElement.title}`;
    line.append(title);
  }
  return line;
}

function label(item) {
  const text = document.createElementNS(SVG, "text");
  text.setAttribute("x", item.x);
  text.setAttribute("y", item.y);
  text.setAttribute("class", "name");
  text.textContent = boxes[(item.number - 1) % 10].parentElement.textContent.trim();
  return text;
}

function drawAll() { figures.forEach(draw); }

for (const figure of figures) {
  const stage = figure.querySelector(".stage");
  figure.querySelector("input[type=range]").addEventListener("input", () => draw(figure));
  for (const button of figure.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => show(figure, shown(figure) + Number(button.dataset.step)));
  }
  for (const button of figure.querySelectorAll("[data-jump]")) {
    button.addEventListener("click", () => show(figure, Number(button.dataset.jump)));
  }
  stage.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 };
    if (event.key in steps) show(figure, shown(figure) + steps[event.key]);
    else if (event.key === "Home") show(figure, Number(figure.dataset.index));
    else return;
    event.preventDefault();
  });
}

for (const radio of viewer.querySelectorAll("input[name=window]")) radio.addEventListener("change", drawAll);
all.addEventListener("change", () => { boxes.forEach((box) => { box.checked = all.checked; }); drawAll(); });
for (const box of boxes) {
  box.addEventListener("change", () => {
    const on = boxes.filter((item) => item.checked).length;
    all.checked = on === boxes.length;
    all.indeterminate = on > 0 && on < boxes.length;
    drawAll();
  });
}

for (const row of document.querySelectorAll(".regions-table tr[data-number]")) {
  const mark = (on) => () => {
    for (const line of viewer.querySelectorAll(`.line[data-number="${row.dataset.number}"]`)) line.classList.toggle("lit", on);
  };
  row.addEventListener("mouseenter", mark(true));
  row.addEventListener("mouseleave", mark(false));
}

const take = document.getElementById("take-shown");
if (take) {
  take.hidden = false;
  take.addEventListener("click", () => {
    for (const figure of figures) {
      document.querySelector(`#choose input[name=${figure.dataset.level}]`).value = shown(figure) + 1;
    }
  });
}

fetch(`${base}/outlines`).then((answer) => (answer.ok ? answer.json() : null)).then((found) => {
  if (!found) return;
  outlines = found.outlines;
  for (const figure of figures) figure.querySelector("input[type=range]").max = found.slices - 1;
  drawAll();
  viewer.dataset.ready = "yes";
}).catch(() => { /* the pictures stay without outlines */ });
drawAll();
