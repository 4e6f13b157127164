// What a person asks: a payment by its id, and the summary of a window.

import { amount, count, element, inputMoment, moment } from "./format.js";

const byId = (id) => document.getElementById(id);
const STATES = { pending: "waits to be routed", routed: "is being charged", in_doubt: "is in doubt", processed: "is charged", rejected: "is rejected" };

async function ask(address, target) {
  try {
    const answer = await fetch(address);
    const content = await answer.json();
    if (answer.ok) return content;
    target.replaceChildren(element("p", content.detail, { class: "error" }));
  } catch {
    target.replaceChildren(element("p", "The console does not answer.", { class: "error" }));
  }
  return null;
}

export async function findPayment(id) {
  const target = byId("payment");
  byId("payment-id").value = id;
  const payment = await ask(`/api/payments/${encodeURIComponent(id.trim())}`, target);
  if (!payment) return;
  history.replaceState(null, "", `#payment=${payment.correlationId}`);
  const steps = element("ol", "", { class: "timeline" });
  steps.append(...payment.steps.map(step));
  target.replaceChildren(element("p", `${amount(payment.amountCents)}; the payment ${STATES[payment.state]}.`, { class: "answer" }), steps);
}

function step({ kind, text, why, atMs, sequence }) {
  const item = element("li", "", { "data-kind": kind });
  item.append(element("span", text));
  if (why) item.append(element("span", why, { class: "why" }));
  const when = atMs == null ? `log position ${count(sequence)}` : `${moment(atMs)}, log position ${count(sequence)}`;
  item.append(element("time", when));
  return item;
}

export async function summarise() {
  const query = new URLSearchParams();
  for (const [id, name] of [["from", "from"], ["to", "to"], ["as-of", "as_of"]]) {
    const value = byId(id).value;
    if (value) query.set(name, String(new Date(value).getTime()));
  }
  const target = byId("summary");
  const summary = await ask(`/api/summary?${query}`, target);
  if (!summary) return;
  const list = element("dl", "", { class: "rows answer" });
  list.append(...Object.entries(summary.totals).map(([name, total]) => {
    const row = element("div");
    row.append(element("dt", name), element("dd", `${count(total.count)} payments, ${amount(total.amountCents)}`));
    return row;
  }));
  target.replaceChildren(list, element("p", settled(summary), { class: "quiet" }));
}

function settled({ isSettled, openAttempts, position }) {
  const where = `Complete up to log position ${count(position)}.`;
  if (isSettled == null) return `As it was then. ${where}`;
  return isSettled ? `Settled: no attempt of this time is open. ${where}` : `Not settled: ${count(openAttempts)} attempts of this time are open. ${where}`;
}

/** Fills in a window that was chosen on a chart, and asks for its summary. */
export async function summariseWindow(fromMs, toMs) {
  byId("from").value = inputMoment(fromMs);
  byId("to").value = inputMoment(toMs);
  await summarise();
}

export function listenForQuestions() {
  byId("find").addEventListener("submit", (event) => { event.preventDefault(); findPayment(byId("payment-id").value); });
  byId("summarise").addEventListener("submit", (event) => { event.preventDefault(); summarise(); });
  byId("summarise").addEventListener("reset", () => byId("summary").replaceChildren());
  const linked = location.hash.match(/^#payment=([0-9a-f-]{36})$/);
  if (linked) findPayment(linked[1]);
}
