// Live updates of what is marked data-live, and the choice of the theme.
"use strict";

const live = document.getElementById("live");
let loading = false;
let again = false;

async function refresh() {
  if (loading) { again = true; return; }
  loading = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) { location.href = answer.url; return; }
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch { /* the stream says when the node is back */ }
  // what changed while this was loaded comes with the next, a second later
  setTimeout(() => { loading = false; if (again) { again = false; refresh(); } }, 1000);
}

function replace(fresh) {
  const head = document.getElementById("live-head");
  const freshHead = fresh.getElementById("live-head");
  if (head && freshHead && head.dataset.result !== freshHead.dataset.result) {
    // another result: pictures and numbers are new
    location.replace(location.pathname + location.search);
    return;
  }
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (!now || now.innerHTML === old.innerHTML) continue;
    const place = placeOf(old, document.activeElement);
    old.innerHTML = now.innerHTML;
    if (place !== null) focusable(old)[place]?.focus();
  }
}

function focusable(element) {
  return [...element.querySelectorAll("a, button, input, [tabindex]")];
}

function placeOf(element, focused) {
  return focused && element.contains(focused) ? focusable(element).indexOf(focused) : null;
}

function say(text) {
  live.hidden = text === "";
  live.textContent = text;
}

let stream = null;

function listen() {
  // what changed while the page was loading is told, too
  stream = new EventSource(`/events?since=${document.body.dataset.since}`);
  stream.addEventListener("open", () => { if (live.textContent) refresh(); say(""); });
  stream.addEventListener("error", () => say("not connected"));
  stream.addEventListener("series", (event) => {
    document.body.dataset.since = event.lastEventId;
    const { keys } = JSON.parse(event.data);
    const page = document.body.dataset.page;
    if (page !== "series" || keys.includes(location.pathname.split("/")[2])) refresh();
  });
}

function start() {
  if (!document.querySelector("[data-live]")) return;
  listen();
  // a hidden page holds no connection
  document.addEventListener("visibilitychange", () => {
    stream.close();
    if (!document.hidden) { listen(); refresh(); }
  });
  // ages grow without any change
  setInterval(() => { if (!document.hidden) refresh(); }, 30000);
}

function chooseTheme() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const show = () => { button.querySelector("span").textContent = root.dataset.theme || "auto"; };
  button.hidden = false;
  show();
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % themes.length];
    if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
    try { localStorage.setItem("theme", next); } catch { /* it holds for this page */ }
    show();
  });
}

chooseTheme();
start();
