// The result of a run, as text and as JSON. The last line of the text is the verdict.

import { OUT } from './config.js';
import { decimalText } from './money.js';
import { PROCESSORS } from './processors.js';
import { score } from './score.js';

export function report(scenario, data) {
  const result = resultOf(scenario, data.metrics);
  const files = { stdout: text(result) };
  if (OUT) {
    files[OUT] = `${JSON.stringify(result, null, 2)}\n`;
  }
  return files;
}

function resultOf(scenario, metrics) {
  const count = (name) => metrics[name]?.values.count ?? 0;
  const gauge = (name) => metrics[name]?.values.value ?? 0;
  const charged = PROCESSORS.map((name) => ({
    processor: name,
    payments: gauge(`${name}_payments`),
    cents: gauge(`${name}_cents`),
    feeBasisPoints: gauge(`${name}_fee_basis_points`),
  }));
  const everyRequest = latency(metrics['http_req_duration{expected_response:true}']);
  const inconsistent = { payments: count('inconsistent_payments'), cents: count('inconsistent_cents') };
  const booksClosed = count('books_closed') === 1;
  const lagAtEnd = count('accepted') - gauge('charged_at_end');
  const thresholds = verdicts(metrics);
  return {
    course: scenario.name,
    about: scenario.about,
    at: new Date().toISOString(),
    seconds: scenario.seconds,
    amount: scenario.amount,
    payments: {
      accepted: count('accepted'),
      refused: count('refused'),
      unknown: count('unknown'),
      not_sent: count('dropped_iterations'),
    },
    latency_ms: { payments: latency(metrics.payment_ms), every_request: everyRequest },
    // Left out where there are none: k6 misindents what follows an empty list.
    ...(scenario.steps.length && { steps: scenario.steps.map((step, i) => stepOf(scenario, step, i, metrics)) }),
    windows: { due: scenario.checks, checked: count('windows_checked') },
    inconsistent,
    lag: {
      payments: count('lag'),
      cents: count('lag_cents'),
      at_end: lagAtEnd,
      drain_seconds: gauge('drain_seconds'),
      books_closed: booksClosed,
    },
    charged: charged.map((one) => ({
      processor: one.processor,
      payments: one.payments,
      cents: one.cents,
      fee_basis_points: one.feeBasisPoints,
    })),
    score: booksClosed
      ? score({
          charged,
          p99Ms: everyRequest.p99,
          inconsistent: inconsistent.payments > 0 || inconsistent.cents > 0,
          lag: lagAtEnd,
        })
      : null,
    thresholds,
    // With --no-thresholds there is no verdict, and so no pass.
    passed: thresholds.length > 0 && thresholds.every(({ passed }) => passed),
  };
}

function latency(metric) {
  const values = metric?.values ?? {};
  const figure = (name) => Math.round((values[name] ?? 0) * 1000) / 1000;
  return { p50: figure('med'), p90: figure('p(90)'), p99: figure('p(99)'), max: figure('max') };
}

function stepOf(scenario, { at, rate }, i, metrics) {
  const seconds = (scenario.steps[i + 1]?.at ?? scenario.seconds) - at;
  const { p50, p99 } = latency(metrics[`payment_ms{step:${i}}`]);
  const accepted = metrics[`accepted{step:${i}}`]?.values.count ?? 0;
  return { offered_per_second: rate, accepted_per_second: Math.round(accepted / seconds), p50, p99 };
}

function verdicts(metrics) {
  return Object.entries(metrics).flatMap(([metric, { values, thresholds = {} }]) =>
    Object.entries(thresholds).map(([threshold, { ok }]) => ({
      metric,
      threshold,
      found: values.count ?? values.rate,
      passed: ok,
    })),
  );
}

function text(result) {
  return `${[
    line(result.course, result.about),
    ...payments(result),
    ...latencies(result),
    ...steps(result),
    ...exactness(result),
    ...scored(result),
    ...verdict(result),
  ].join('\n')}\n`;
}

function payments({ payments: { accepted, refused, unknown, not_sent }, amount }) {
  const notSent = not_sent ? `, not sent ${not_sent} (every virtual user was waiting)` : '';
  return [line('payments', `accepted ${accepted} of ${amount}, refused ${refused} (unknown ${unknown})${notSent}`)];
}

function latencies({ latency_ms }) {
  const row = (name, { p50, p90, p99, max }) => columns(name, [p50, p90, p99, max].map((ms) => ms.toFixed(2)));
  return [
    columns('latency ms', ['p50', 'p90', 'p99', 'max']),
    row('  POST /payments', latency_ms.payments),
    row('  every request', latency_ms.every_request),
  ];
}

function steps({ steps: found }) {
  if (!found) {
    return [];
  }
  return [
    columns('payments/s', ['offered', 'accepted', 'p50 ms', 'p99 ms']),
    ...found.map((one) =>
      columns('', [one.offered_per_second, one.accepted_per_second, one.p50.toFixed(2), one.p99.toFixed(2)]),
    ),
    line('holds', `${sustained(found)} payments a second`),
  ];
}

// The last step before the first whose payments were not accepted as fast as offered, apart from brief stalls.
function sustained(found) {
  const first = found.findIndex((one) => one.accepted_per_second < 0.97 * one.offered_per_second);
  return found[(first === -1 ? found.length : first) - 1]?.offered_per_second ?? 0;
}

function exactness({ windows, inconsistent, lag, charged }) {
  const differing = `differing by ${inconsistent.payments} payments and ${decimalText(inconsistent.cents)}`;
  const after = `${lag.payments} after ${lag.drain_seconds.toFixed(1)} s more`;
  return [
    line('windows', `${windows.checked} of ${windows.due} compared; these and the totals ${differing}`),
    line('lag', lag.books_closed ? `${lag.at_end} at the end, ${after}` : 'unknown: the provider records could not be read'),
    ...charged.map(({ processor, payments, cents, fee_basis_points }) =>
      line(`  ${processor}`, `${payments} charged by the end, ${decimalText(cents)}, fee ${fee_basis_points / 100} %`),
    ),
  ];
}

function scored({ score: found }) {
  if (!found) {
    return [line('score', 'unknown')];
  }
  const disqualified = found.disqualified ? '; DISQUALIFIED: more charged than accepted' : '';
  const parts = [
    `profit ${decimalText(found.profit_cents)} after fees of ${decimalText(found.fees_cents)}`,
    `bonus ${found.bonus_percent} %`,
    `fine ${found.fine_percent} %`,
  ];
  return [line('score', `${decimalText(found.total_cents)}: ${parts.join(', ')}${disqualified}`)];
}

function verdict({ thresholds, passed }) {
  if (passed) {
    return [line('verdict', 'every threshold kept')];
  }
  if (!thresholds.length) {
    return [line('verdict', 'none: the thresholds were switched off')];
  }
  return thresholds
    .filter((one) => !one.passed)
    .map(({ metric, threshold, found }) => line('FAILED', `${metric}: ${threshold}, found ${found}`));
}

function line(name, content) {
  return name.padEnd(18) + content;
}

function columns(name, values) {
  return name.padEnd(18) + values.map((value) => String(value).padStart(10)).join('');
}
