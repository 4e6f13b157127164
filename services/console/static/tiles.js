// Shows one message of the server: the figures of now. A part that is null keeps what it shows.

import { age, amount, bytes, count, element, figure, percent } from "./format.js";
import { isBad } from "./headline.js";

const LAG_SHOWN_MESSAGES = 10_000;
const DOUBTS_OPEN = 1;
const byId = (id) => document.getElementById(id);

/** Changes the text only if it differs, so that screen readers and selections are left alone. */
const show = (id, text) => {
  const target = byId(id);
  if (target.textContent !== text) target.textContent = text;
};

export function showLive(live, openPayment) {
  showRates(live);
  live.providers.forEach(showProvider);
  if (live.queue) showQueue(live.queue);
  if (live.doubts) showDoubts(live.doubts, openPayment);
  if (live.fees) showMoney(live);
  showPrograms(live.programs);
  showLog(live.log);
  showProgress(live);
}

/** Replaces the children if what they show has changed. */
function refill(target, shown, childOf) {
  const text = JSON.stringify(shown);
  if (target.dataset.text === text) return;
  target.dataset.text = text;
  target.replaceChildren(...shown.map(childOf));
}

function showRates({ rates, latency, payments, doubts }) {
  if (rates.accepted != null) show("accepted", figure(rates.accepted));
  if (rates.settled != null) show("settled", figure(rates.settled));
  if (latency) {
    show("p50", figure(latency.p50Ms));
    show("p99", figure(latency.p99Ms));
  }
  if (payments) show("waiting", count(payments.pending + payments.routed));
  if (doubts) {
    show("in-doubt", count(doubts.count));
    byId("doubt-tile").classList.toggle("bad", doubts.count > 0);
  }
}

function showProvider(provider) {
  const card = byId(`provider-${provider.name}`) ?? providerCard(provider.name);
  const state = card.querySelector(".state");
  state.dataset.bad = String(isBad(provider));
  state.textContent = stateOf(provider);
  if (provider.count == null) return;
  const share = provider.recentShare;
  card.querySelector(".big b").textContent = percent(share);
  card.querySelector(".bar i").style.width = `${(share ?? 0) * 100}%`;
  const rows = [
    ["Settled now", `${figure(provider.rate)} /s`],
    ["Answers, p50 and p99", provider.p50Ms == null ? "no calls" : `${figure(provider.p50Ms)} and ${figure(provider.p99Ms)} ms`],
    ["Fee of each amount", percent(provider.feeShare)],
    ["All time", `${count(provider.count)} (${percent(provider.share)})`],
  ];
  refill(card.querySelector("dl"), rows, ([term, text]) => {
    const row = element("div");
    row.append(element("dt", term), element("dd", text));
    return row;
  });
}

function providerCard(name) {
  const id = `provider-${name}`;
  const card = element("article", "", { id, class: "card provider", "data-name": name, "aria-labelledby": `${id}-name` });
  const head = element("div", "", { class: "card-head" });
  head.append(element("h3", name, { id: `${id}-name` }), element("span", "", { class: "state" }));
  const big = element("p", "", { class: "big" });
  big.append(element("b", "–"), " ", element("span", "of the last minute"));
  const bar = element("div", "", { class: "bar", "aria-hidden": "true" });
  bar.append(element("i"));
  card.append(head, big, bar, element("dl", "", { class: "rows" }));
  byId("where").insertBefore(card, byId("queue-title").closest("article"));
  return card;
}

function stateOf({ breaker, isFailing }) {
  if (breaker == null) return "state unknown";
  const health = isFailing ? "reports failure" : { open: "down", "half-open": "being probed", closed: "working" }[breaker];
  return `${health}, breaker ${breaker}`;
}

function showQueue(queue) {
  const isWaiting = queue.causes.length > 0;
  show("queue-waiting", count(queue.waiting));
  show("queue-under-way", count(queue.underWay));
  show("oldest", queue.oldestSeconds == null ? "Nothing" : age(queue.oldestSeconds));
  show("oldest-unit", queue.oldestSeconds == null ? "" : "the oldest payment");
  show("queue-state", queue.oldestSeconds == null ? "nothing waits" : isWaiting ? "payments wait" : "at the usual pace");
  byId("queue-state").dataset.bad = String(isWaiting);
  byId("waiting-tile").classList.toggle("bad", isWaiting);
  refill(byId("causes"), queue.causes, (one) => element("li", one));
}

function showDoubts(doubts, openPayment) {
  byId("doubts-card").hidden = doubts.count === 0;
  show("doubts-title", `Payments in doubt: ${count(doubts.count)}`);
  const more = byId("more-doubts");
  more.hidden = doubts.notListed <= 0;
  more.textContent = `And ${count(doubts.notListed)} more that are younger.`;
  const list = byId("doubts");
  const known = new Map([...list.children].map((row) => [row.dataset.id, row]));
  // Rows are kept, so that the focus stays where it is.
  const rows = doubts.listed.map((one, index) => known.get(one.correlationId) ?? doubtRow(one, openPayment, index < DOUBTS_OPEN));
  doubts.listed.forEach((one, index) => {
    rows[index].querySelector(".age").textContent = `for ${age(one.ageSeconds)}`;
    rows[index].querySelector(".why").textContent = one.isHeld ? `held by an operator; ${one.why}` : one.why;
  });
  const isSame = rows.length === list.children.length && rows.every((row, index) => row === list.children[index]);
  if (!isSame) list.replaceChildren(...rows);
}

function doubtRow(doubt, openPayment, isOpen) {
  const row = element("li", "", { "data-id": doubt.correlationId });
  const head = element("p", "", { class: "doubt-head" });
  const id = element("button", doubt.correlationId, { type: "button", class: "id" });
  id.addEventListener("click", () => openPayment(doubt.correlationId));
  head.append(id, element("span", `${amount(doubt.amountCents)} at ${doubt.provider}`), element("span", "", { class: "age" }));
  const details = element("details");
  details.open = isOpen;
  details.append(element("summary", "Resolve"), command("It was charged", doubt.commands.charged), command("It was not, and will not be", doubt.commands.notCharged));
  row.append(head, element("p", "", { class: "why" }), details);
  return row;
}

function command(when, text) {
  const line = element("p", "", { class: "command" });
  const copy = element("button", "Copy", { type: "button", class: "plain", "aria-label": `Copy the command for: ${when.toLowerCase()}` });
  // Browsers offer the clipboard on loopback and over TLS only.
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    copy.textContent = "Copied";
  });
  line.append(element("span", `${when}:`), element("code", text), copy);
  return line;
}

function showMoney({ fees, providers }) {
  show("charged", amount(providers.reduce((sum, one) => sum + (one.amountCents ?? 0), 0)));
  show("fees-paid", amount(fees.paidCents));
  show("fees-saved", amount(fees.savedCents));
  show("profit", amount(fees.profitCents));
}

function showPrograms(programs) {
  const rows = programs.map((one) => [one.name, one.is_up ? one.detail || "answers" : one.detail, one.up_seconds == null ? "" : age(one.up_seconds), one.memory_bytes == null ? "" : bytes(one.memory_bytes), one.is_up && !one.detail]);
  refill(byId("programs"), rows, ([name, state, runs, memory, isWell]) => {
    const row = element("tr", "", { "data-well": String(isWell) });
    row.append(element("th", name, { scope: "row" }), element("td", state, { class: "program-state" }), element("td", runs, { class: "number" }), element("td", memory, { class: "number" }));
    return row;
  });
}

function showLog(log) {
  if (log.end != null) show("log-end", count(log.end));
  if (log.bytes != null) show("log-bytes", log.bytesMax == null ? bytes(log.bytes) : `${bytes(log.bytes)} of ${bytes(log.bytesMax)}`);
  if (log.behind != null) show("log-behind", log.behind === 0 ? "up to date" : `${count(log.behind)} messages behind`);
}

/** A rebuild that runs, or a read model that has much to catch up with. */
function showProgress({ rebuild, log }) {
  const isBehind = log.behind > LAG_SHOWN_MESSAGES;
  byId("progress").hidden = !rebuild && !isBehind;
  if (rebuild) {
    const left = rebuild.secondsLeft == null || rebuild.secondsLeft < 1 ? "" : `, about ${age(rebuild.secondsLeft)} left`;
    const text = rebuild.isComparing
      ? `All ${count(rebuild.read)} messages of the log are read; the new read model is compared with the live one.`
      : `${count(rebuild.read)} of ${count(rebuild.read + rebuild.left)} messages of the log are read${left}. The live read model answers meanwhile.`;
    fillProgress("Rebuild of the read model", rebuild.share, text);
  } else if (isBehind) {
    fillProgress("The read model catches up", log.position / log.end, `${count(log.behind)} of ${count(log.end)} messages of the log are not in it yet.`);
  }
}

function fillProgress(title, share, text) {
  show("progress-title", title);
  show("progress-share", percent(share));
  show("progress-text", text);
  byId("progress-bar").value = share;
}
