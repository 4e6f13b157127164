// Shows one message of the server: the figures of now. A part that is null keeps what it shows.

import { age, amount, count, element, figure, percent } from "./format.js";

const byId = (id) => document.getElementById(id);

/** Changes the text only if it differs, so that screen readers announce only changes. */
const show = (id, text) => {
  const target = byId(id);
  if (target.textContent !== text) target.textContent = text;
};

export function showLive(live, openPayment) {
  showTroubles(live.troubles);
  showRates(live);
  live.providers.forEach(showProvider);
  if (live.queue) showQueue(live.queue);
  if (live.doubts) showDoubts(live.doubts, openPayment);
  if (live.fees) showMoney(live);
  showPrograms(live);
  show("headline", headline(live));
}

function headline(live) {
  if (live.troubles.length) return "Some figures are missing or out of date.";
  const { queue, rates, doubts } = live;
  if (queue?.isTooOld) return `Payments wait: the oldest for ${age(queue.oldestSeconds)}.`;
  const inDoubt = doubts?.count ? ` ${count(doubts.count)} in doubt.` : "";
  if (!rates.accepted && !rates.settled) return `All is quiet: nothing is coming in.${inDoubt}`;
  const [first] = live.providers.filter((one) => one.rate != null).sort((a, b) => b.rate - a.rate);
  const total = rates.settled || 0;
  if (!total) return `Payments come in, and none is settled.${inDoubt}`;
  return `Money is flowing: ${Math.round((first.rate / total) * 100)} % of it to ${first.name}.${inDoubt}`;
}

function showTroubles(troubles) {
  const list = byId("troubles");
  list.hidden = troubles.length === 0;
  const text = troubles.join("\n");
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...troubles.map((one) => element("li", `Not everything answers: ${one}.`)));
}

function showRates({ rates, latency, payments, doubts }) {
  if (rates.accepted != null) show("accepted", figure(rates.accepted));
  if (rates.settled != null) show("settled", figure(rates.settled));
  show("p50", figure(latency?.p50Ms));
  show("p99", figure(latency?.p99Ms));
  if (payments) show("waiting", count(payments.pending + payments.routed));
  if (doubts) {
    show("in-doubt", count(doubts.count));
    byId("doubt-tile").classList.toggle("bad", doubts.count > 0);
  }
}

function showProvider(provider) {
  const id = `provider-${provider.name}`;
  let card = byId(id);
  if (!card) {
    card = element("article", "", { id, class: "provider", "data-name": provider.name, "aria-labelledby": `${id}-name` });
    const head = element("div", "", { class: "card-head" });
    head.append(element("h3", provider.name, { id: `${id}-name` }), element("span", "", { class: "state" }));
    const bar = element("div", "", { class: "bar", "aria-hidden": "true" });
    bar.append(element("i"));
    card.append(head, bar, element("dl", "", { class: "rows" }));
    byId("providers").append(card);
  }
  const isBad = provider.isFailing === true || (provider.breaker != null && provider.breaker !== "closed");
  const state = card.querySelector(".state");
  state.dataset.bad = String(isBad);
  state.textContent = stateOf(provider);
  if (provider.count == null) return;
  card.querySelector(".bar i").style.width = `${(provider.share ?? 0) * 100}%`;
  const rows = [
    ["Share of all payments", percent(provider.share)],
    ["Settled now", `${figure(provider.rate)} /s`],
    ["Settled in all", `${count(provider.count)}, ${amount(provider.amountCents)}`],
    ["Answer time, p50 and p99", `${figure(provider.p50Ms)} and ${figure(provider.p99Ms)} ms`],
    ["Fee of each amount", percent(provider.feeShare)],
  ];
  card.querySelector("dl").replaceChildren(...rows.map(([term, text]) => {
    const row = element("div");
    row.append(element("dt", term), element("dd", text));
    return row;
  }));
}

function stateOf({ breaker, isFailing }) {
  if (isFailing) return "reports that it fails";
  if (breaker === "open") return "down: breaker open";
  if (breaker === "half-open") return "being probed";
  if (breaker === "closed") return "working";
  return "state unknown";
}

function showQueue(queue) {
  show("queue-waiting", count(queue.waiting));
  show("queue-under-way", count(queue.underWay));
  show("oldest", queue.oldestSeconds == null ? "none" : age(queue.oldestSeconds));
  const list = byId("causes");
  const text = queue.causes.join("\n");
  if (list.dataset.text === text) return;
  list.dataset.text = text;
  list.replaceChildren(...queue.causes.map((one) => element("li", one)));
}

function showDoubts(doubts, openPayment) {
  byId("no-doubts").hidden = doubts.count > 0;
  byId("doubts").hidden = doubts.count === 0;
  const more = byId("more-doubts");
  more.hidden = doubts.notListed <= 0;
  more.textContent = `And ${count(doubts.notListed)} more that are younger.`;
  const body = byId("doubt-rows");
  const known = new Map([...body.children].map((row) => [row.dataset.id, row]));
  // Rows are kept, so that the focus stays where it is.
  const rows = doubts.listed.map((one) => known.get(one.correlationId) ?? doubtRow(one, openPayment));
  doubts.listed.forEach((one, index) => {
    rows[index].children[3].textContent = age(one.ageSeconds);
    rows[index].children[4].textContent = one.isHeld ? `held by an operator; ${one.why}` : one.why;
  });
  const isSame = rows.length === body.children.length && rows.every((row, index) => row === body.children[index]);
  if (!isSame) body.replaceChildren(...rows);
}

function doubtRow(doubt, openPayment) {
  const row = element("tr", "", { "data-id": doubt.correlationId });
  const id = element("td");
  const button = element("button", doubt.correlationId, { type: "button", class: "id" });
  button.addEventListener("click", () => openPayment(doubt.correlationId));
  id.append(button);
  const command = element("td");
  command.append(element("code", doubt.command));
  row.append(id, element("td", amount(doubt.amountCents), { class: "number" }), element("td", doubt.provider),
    element("td", "", { class: "number" }), element("td"), command);
  return row;
}

function showMoney({ fees, providers }) {
  show("charged", amount(providers.reduce((sum, one) => sum + (one.amountCents ?? 0), 0)));
  show("fees-paid", amount(fees.paidCents));
  show("fees-saved", amount(fees.savedCents));
  show("profit", amount(fees.profitCents));
}

function showPrograms({ programs, log }) {
  const list = byId("programs");
  const text = JSON.stringify(programs);
  if (list.dataset.text !== text) {
    list.dataset.text = text;
    list.replaceChildren(...programs.map((one) => {
      const item = element("li", one.name, { "data-up": String(one.is_up) });
      if (one.detail) item.append(element("small", ` ${one.detail}`));
      return item;
    }));
  }
  if (log.end != null) show("log-end", count(log.end));
  if (log.behind != null) show("log-behind", log.behind === 0 ? "up to date" : `${count(log.behind)} messages behind`);
}
