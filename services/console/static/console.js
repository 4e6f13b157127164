// The page's connection to the console: shows each message, connects again by itself, and marks what is stale.

import { Charts } from "./charts.js";
import { age, timeOfDay } from "./format.js";
import { headline } from "./headline.js";
import { findPayment, listenForQuestions, summariseWindow } from "./questions.js";
import { showLive } from "./tiles.js";

const STALE_MS = 5_000;
const RETRY_MS = 2_000;

const byId = (id) => document.getElementById(id);
const charts = new Charts(summariseWindow);
let newest = null;
let lastMs = null;
let source = null;

function connect() {
  source = new EventSource("/events");
  source.addEventListener("open", () => charts.load());
  source.addEventListener("message", (event) => {
    const live = JSON.parse(event.data);
    // The same message again only shows that the connection stands.
    if (live.atMs === newest?.atMs) return;
    newest = live;
    if (!live.troubles.length) lastMs = Date.now();
    showLive(live, openPayment);
    charts.add(live.point);
    showState();
  });
  source.addEventListener("error", () => {
    // The browser gives up after an answer that is an error, such as while the console starts.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
    showState();
  });
}

function openPayment(id) {
  findPayment(id);
  byId("payment-id").focus();
}

/** The label, the headline and the window's title. */
function showState() {
  const silentMs = lastMs == null ? null : Date.now() - lastMs;
  const isStale = silentMs != null && silentMs > STALE_MS;
  const state = silentMs == null ? "waiting" : isStale ? "stale" : "live";
  show("connection", { waiting: "Connecting …", stale: `Stale for ${age(silentMs / 1000)}`, live: "Live" }[state]);
  byId("connection").dataset.state = state;
  byId("main").dataset.stale = String(isStale);
  if (!newest) return;
  const { kind, text, reason, title } = headline(newest, isStale ? `The figures are those of ${timeOfDay(lastMs)}.` : "");
  show("headline", text);
  show("reason", reason);
  byId("headline").dataset.kind = kind;
  document.title = `${title} · Tollgate`;
  // Read aloud only when the state changes, not with each figure.
  if (byId("announcement").dataset.kind !== kind) {
    byId("announcement").dataset.kind = kind;
    show("announcement", `${text} ${reason}`);
  }
}

function show(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    for (const one of document.querySelectorAll("[data-span]")) one.setAttribute("aria-pressed", String(one === button));
    charts.choose(button.dataset.span);
  });
}
byId("summarise-shown").addEventListener("click", () => summariseWindow(...charts.shownMs));
byId("summarise").addEventListener("reset", () => charts.clearWindow());
listenForQuestions();
connect();
setInterval(showState, 1_000);
