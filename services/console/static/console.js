// The page's connection to the console: shows each message, connects again by itself, and marks what is stale.

import { Charts } from "./charts.js";
import { age } from "./format.js";
import { findPayment, listenForQuestions, summariseWindow } from "./questions.js";
import { showLive } from "./tiles.js";

const STALE_MS = 5_000;
const RETRY_MS = 2_000;

const pill = document.getElementById("connection");
const main = document.getElementById("main");
const charts = new Charts(summariseWindow);
let lastMs = null;
let newestMs = null;
let source = null;

function connect() {
  source = new EventSource("/events");
  source.addEventListener("open", () => charts.load());
  source.addEventListener("message", (event) => {
    const live = JSON.parse(event.data);
    // The same message again only shows that the connection stands.
    if (live.atMs === newestMs) return;
    newestMs = live.atMs;
    if (!live.troubles.length) lastMs = Date.now();
    showLive(live, open);
    charts.add(live.point);
    showConnection();
  });
  source.addEventListener("error", () => {
    // The browser gives up after an answer that is an error, such as while the console starts.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
    showConnection();
  });
}

function open(id) {
  findPayment(id);
  document.getElementById("payment-id").focus();
}

function showConnection() {
  const silentMs = lastMs == null ? null : Date.now() - lastMs;
  const isStale = silentMs == null || silentMs > STALE_MS;
  const text = silentMs == null ? "Connecting …" : isStale ? `Stale for ${age(silentMs / 1000)}` : "Live";
  main.dataset.stale = String(isStale && silentMs != null);
  pill.dataset.state = silentMs == null ? "waiting" : isStale ? "stale" : "live";
  if (pill.textContent !== text) pill.textContent = text;
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    for (const one of document.querySelectorAll("[data-span]")) one.setAttribute("aria-pressed", String(one === button));
    charts.choose(button.dataset.span);
  });
}
listenForQuestions();
connect();
setInterval(showConnection, 1_000);
