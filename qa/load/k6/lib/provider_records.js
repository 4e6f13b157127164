// The gateway's summary and the provider records, queried at the same time.

import http from 'k6/http';
import { summaryRequest } from './gateway.js';
import { parseSummary, totalsOf } from './money.js';
import { PROCESSORS, summaryRequests } from './processors.js';

// `window` is {from, to} in milliseconds, both inclusive, or null for everything. Returns null when an answer is missing
// or cannot be read: that is neither a difference nor an agreement.
export function askRecords(window, timeout) {
  const query = window ? `?from=${isoTime(window.from)}&to=${isoTime(window.to)}` : '';
  const answers = http.batch([summaryRequest(query, timeout), ...summaryRequests(query, timeout)]);
  try {
    const [gateway, ...processors] = answers.map(read);
    return PROCESSORS.map((name, i) => ({
      name,
      said: totalsOf(gateway[name]),
      charged: totalsOf(processors[i]),
      // The benchmark's providers give their fee as a ratio such as 0.05.
      feeBasisPoints: Math.round(processors[i].feePerTransaction * 10000),
    }));
  } catch (fault) {
    console.error(`summaries${query}: ${fault.message}`);
    return null;
  }
}

export function differences(records) {
  return {
    payments: sum(records, ({ said, charged }) => Math.abs(said.payments - charged.payments)),
    cents: sum(records, ({ said, charged }) => Math.abs(said.cents - charged.cents)),
  };
}

export function chargedPayments(records) {
  return sum(records, ({ charged }) => charged.payments);
}

export function chargedCents(records) {
  return sum(records, ({ charged }) => charged.cents);
}

export function describe(records) {
  const text = ({ payments, cents }) => `${payments} (${cents} cents)`;
  return records
    .map(({ name, said, charged }) => `${name}: gateway ${text(said)}, processor ${text(charged)}`)
    .join('; ');
}

function read(answer) {
  if (answer.status !== 200) {
    throw new Error(`${answer.url} answered ${answer.status} ${answer.error || answer.body}`);
  }
  return parseSummary(answer.body);
}

function sum(records, figure) {
  return records.reduce((total, one) => total + figure(one), 0);
}

function isoTime(milliseconds) {
  return new Date(milliseconds).toISOString();
}
