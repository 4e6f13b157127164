// One sentence for what happens, and one for why. Pure.

import { age, count, figure } from "./format.js";

// Payments wait for less in a burst, and for a provider that has just failed.
const WAITING_SECONDS = 5;

/** `stale` is a sentence on the age of the figures; empty while they are of now. */
export function headline(live, stale) {
  const { troubles, queue, rates, doubts, providers } = live;
  if (stale) {
    const text = troubles.length ? `Nothing can be seen now: ${troubles.join("; ")}.` : "The console does not answer.";
    return { kind: troubles.length ? "blind" : "silent", text, reason: `${stale} The page connects again by itself.`, title: "Stale" };
  }
  if (troubles.length) return { kind: "trouble", text: `Some figures are missing: ${troubles.join("; ")}.`, reason: "", title: "Missing figures" };
  const inDoubt = doubts?.count ? `${count(doubts.count)} in doubt, the oldest for ${age(doubts.listed[0]?.ageSeconds)}. ` : "";
  const bad = providers.filter(isBad);
  const down = bad.length ? `${bad.map((one) => one.name).join(" and ")} ${bad.length > 1 ? "are" : "is"} down. ` : "";
  const reason = capital(`${down}${inDoubt}`.trim()) || "No payment waits longer than usual, and none is in doubt.";
  const kind = (name) => [name, bad.length, Boolean(inDoubt)].join();
  if (queue?.oldestSeconds > WAITING_SECONDS) {
    const flow = rates.settled ? `What is settled goes ${where(providers)}.` : "None is settled.";
    const text = `Payments wait, the oldest for ${age(queue.oldestSeconds)}. ${flow}`;
    return { kind: kind("waiting"), text, reason: `Why: ${queue.causes.join("; ")}. ${inDoubt}`.trim(), title: "Waiting" };
  }
  if (!rates.accepted && !rates.settled) return { kind: kind("quiet"), text: "All is quiet: nothing is coming in.", reason, title: "Quiet" };
  const title = `${figure(rates.accepted)}/s`;
  if (!rates.settled) return { kind: kind("stuck"), text: "Payments come in, and none is settled.", reason, title };
  return { kind: kind("flowing"), text: `Money is flowing ${where(providers)}.`, reason, title };
}

/** Whether payments do not go there, or only as a probe. */
export const isBad = (provider) => provider.isFailing === true || (provider.breaker != null && provider.breaker !== "closed");

function where(providers) {
  const total = providers.reduce((sum, one) => sum + (one.rate ?? 0), 0);
  const [first] = [...providers].sort((a, b) => (b.rate ?? 0) - (a.rate ?? 0));
  const share = Math.round((first.rate / total) * 100);
  return share === 100 ? `to ${first.name}` : `to ${first.name} (${share} %)`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
