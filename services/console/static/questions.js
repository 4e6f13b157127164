// What a person asks: a payment by its id, and the summary of a window.

import { age, amount, count, element, inputMoment, moment, preciseTime } from "./format.js";

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
  steps.append(...payment.steps.map((one, index) => step(one, payment.steps[index - 1])));
  const [first] = payment.steps;
  const answer = element("p", "", { class: "answer" });
  answer.append(element("b", amount(payment.amountCents)), ` ${STATES[payment.state]}.`);
  target.replaceChildren(answer);
  if (first) target.append(element("p", moment(first.atMs), { class: "quiet" }));
  if (payment.missing) target.append(element("p", `${count(payment.missing)} of its events are no longer in the stream; the archive has them.`, { class: "quiet" }));
  target.append(steps);
}

function step({ kind, text, why, explanation, atMs, sequence }, before) {
  const item = element("li", "", { "data-kind": kind });
  item.append(element("span", text));
  if (explanation) item.append(element("span", explanation, { class: "why" }));
  if (why) item.append(element("code", why));
  const later = before ? ` (${after(atMs - before.atMs)})` : "";
  item.append(element("time", `${preciseTime(atMs)}${later}, log position ${count(sequence)}`));
  return item;
}

const after = (ms) => (ms < 1000 ? `+${ms} ms` : `+${age(ms / 1000)}`);

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
  const totals = Object.entries(summary.totals);
  const sum = (field) => totals.reduce((all, [, total]) => all + total[field], 0);
  list.append(...totals.map(([name, total]) => row(name, total)), row("together", { count: sum("count"), amountCents: sum("amountCents") }, "total"));
  target.replaceChildren(list, element("p", settled(summary), { class: "quiet" }));
}

function row(name, total, kind = "") {
  const made = element("div", "", { class: kind });
  made.append(element("dt", name), element("dd", `${count(total.count)} payments, ${amount(total.amountCents)}`));
  return made;
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
  byId("summary-card").scrollIntoView({ block: "nearest", behavior: "smooth" });
}

export function listenForQuestions() {
  byId("find").addEventListener("submit", (event) => { event.preventDefault(); findPayment(byId("payment-id").value); });
  byId("summarise").addEventListener("submit", (event) => { event.preventDefault(); summarise(); });
  byId("summarise").addEventListener("reset", () => byId("summary").replaceChildren());
  const linked = location.hash.match(/^#payment=([0-9a-f-]{36})$/);
  if (linked) findPayment(linked[1]);
}
