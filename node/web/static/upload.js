// Hands over files one by one, as one upload: the series are computed when all are there.
"use strict";

const form = document.getElementById("upload");
const progress = document.getElementById("progress");
const bar = document.getElementById("done");
const outcome = document.getElementById("outcome");
const list = document.getElementById("uploaded");
let stopped = false;
let busy = false;

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((yes, no) => entry.file(yes, no))];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a folder is read a hundred names at a time
    const some = await new Promise((yes, no) => reader.readEntries(yes, no));
    if (!some.length) return found;
    for (const item of some) found.push(...await filesOf(item));
  }
}

async function call(method, path, body) {
  const answer = await fetch(`/api/v1/uploads${path}`, { method, body });
  if (answer.status === 204) return null;
  const said = await answer.json();
  if (!answer.ok) throw new Error(typeof said.detail === "string" ? said.detail : answer.statusText);
  return said;
}

async function hand(files) {
  if (busy || !files.length) return;
  busy = true;
  stopped = false;
  progress.hidden = false;
  bar.max = files.length;
  bar.value = 0;
  outcome.textContent = "";
  list.replaceChildren();
  const total = { stored: 0, skipped: 0, series: new Set() };
  let why = "";
  try {
    const { upload } = await call("POST", "");
    try {
      for (const file of files) {
        if (stopped) break;
        if (file.size) count(total, await call("POST", `/${upload}`, file));
        else total.skipped += 1;
        bar.value += 1;
      }
    } finally { await call("DELETE", `/${upload}`); }
  } catch (error) { why = error.message; }
  progress.hidden = true;
  busy = false;
  report(total, why);
}

function count(total, said) {
  total.stored += said.stored;
  total.skipped += said.skipped;
  for (const key of said.series) total.series.add(key);
}

function report(total, why) {
  const images = total.stored === 1 ? "1 image was" : `${total.stored} images were`;
  outcome.textContent = `${images} taken in, ${total.skipped} files left out.`
    + (why ? ` It ended early: ${why}.` : "") + (stopped ? " You stopped it." : "");
  for (const key of total.series) {
    const link = document.createElement("a");
    link.href = `/series/${key}`;
    link.textContent = `Show the series ${key.slice(0, 8)}`;
    const item = document.createElement("li");
    item.append(link);
    list.append(item);
  }
}

for (const name of ["folder", "files"]) {
  document.getElementById(name).addEventListener("change", (event) => {
    const files = [...event.target.files];
    hand(files).finally(() => { event.target.value = ""; });
  });
}
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
form.addEventListener("dragleave", () => form.classList.remove("over"));
form.addEventListener("drop", async (event) => {
  event.preventDefault();
  form.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const files = [];
  for (const entry of entries) files.push(...await filesOf(entry));
  hand(files);
});
document.getElementById("stop").addEventListener("click", () => { stopped = true; });
