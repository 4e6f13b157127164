// One scenario: payments from many users, changing behaviour of both providers, and regular comparisons of records.
//
// A script gives the load and the stages, and exports what scenario() returns. k6 shares nothing between virtual users,
// so everything that the verdict needs is added to metrics. A run that does not reach its end cannot pass: `lag` rises
// with every accepted payment and falls only at the final comparison.

import { sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Gauge, Trend } from 'k6/metrics';
import { askRecords, chargedCents, chargedPayments, describe, differences } from './provider_records.js';
import { BASE_URL, DRAIN_SECONDS, PURGE, duration } from './config.js';
import * as gateway from './gateway.js';
import { centsOf } from './money.js';
import { PROCESSORS, purgeRequests, weatherRequests } from './processors.js';
import { report } from './report.js';

const CHECK_EVERY_SECONDS = 10;
const WINDOW_MS = 15000;
const ACCEPTED = 202;
const LAST_ANSWERS_SECONDS = 30;
const CALM = { default: [0, false], fallback: [0, false] };

const metrics = {
  accepted: new Counter('accepted'),
  refused: new Counter('refused'),
  // Of the refused, those that may have been accepted nevertheless: no answer, or a server error.
  unknown: new Counter('unknown'),
  paymentMs: new Trend('payment_ms', true),
  windowsChecked: new Counter('windows_checked'),
  inconsistentPayments: new Counter('inconsistent_payments'),
  inconsistentCents: new Counter('inconsistent_cents'),
  lag: new Counter('lag'),
  lagCents: new Counter('lag_cents'),
  booksClosed: new Counter('books_closed'),
  // For the report only, as of the answer to the last payment.
  chargedAtEnd: new Gauge('charged_at_end'),
  drainSeconds: new Gauge('drain_seconds'),
  processors: PROCESSORS.map((name) => ({
    payments: new Gauge(`${name}_payments`),
    cents: new Gauge(`${name}_cents`),
    feeBasisPoints: new Gauge(`${name}_fee_basis_points`),
  })),
};

// `seconds` is how long payments are sent; `load` is a scenario of k6 without `exec`; `stages` lists
// {at: seconds, default: [delay in ms, failing], fallback: […]}; `steps` lists {at: seconds, rate} of a ramp. Attempts
// younger than `settledMs` may still be on their way into a summary, and are left out of the windows.
export function scenario({
  name,
  about,
  seconds,
  load,
  stages = [],
  steps = [],
  pauseSeconds = 0,
  amount = '19.90',
  timeout = '10s',
  checkEverySeconds = CHECK_EVERY_SECONDS,
  settledMs = 1500,
}) {
  // The quotient of scaled times is not exact: 5.999… is six.
  const checks = Math.max(1, Math.floor(seconds / checkEverySeconds + 0.001));
  const amountCents = centsOf(amount);
  let told = false;
  let answeredAt = 0;

  const once = { executor: 'per-vu-iterations', vus: 1, iterations: 1, maxDuration: duration(seconds + 60) };
  const options = {
    scenarios: {
      payments: { gracefulStop: duration(LAST_ANSWERS_SECONDS), ...load, exec: 'pay' },
      weather: { ...once, exec: 'weather' },
      windows: { ...once, exec: 'check', iterations: checks },
      closing: {
        ...once,
        exec: 'close',
        startTime: duration(seconds),
        maxDuration: duration(LAST_ANSWERS_SECONDS + DRAIN_SECONDS + 30),
      },
    },
    thresholds: {
      http_req_failed: ['rate==0'],
      accepted: ['count>0'],
      refused: ['count==0'],
      windows_checked: [`count==${checks}`],
      inconsistent_payments: ['count==0'],
      inconsistent_cents: ['count==0'],
      books_closed: ['count==1'],
      lag: ['count==0'],
      lag_cents: ['count==0'],
      // Without conditions: k6 keeps figures for a tag only where a threshold names it.
      ...Object.fromEntries(
        steps.flatMap((_, i) => [`accepted{step:${i}}`, `payment_ms{step:${i}}`].map((key) => [key, []])),
      ),
    },
    summaryTrendStats: ['med', 'p(90)', 'p(99)', 'max', 'count'],
    systemTags: ['scenario', 'name', 'method', 'status', 'expected_response', 'error_code'],
    discardResponseBodies: true,
    setupTimeout: '60s',
    teardownTimeout: '60s',
  };

  return {
    options,

    setup() {
      if (PURGE) {
        purgeEverything();
      }
      set(CALM);
      return { from: Date.now() };
    },

    pay() {
      const tags = steps.length ? { step: String(stepNow()) } : {};
      const answer = gateway.pay(amount, timeout, tags);
      metrics.paymentMs.add(answer.timings.duration, tags);
      if (answer.status === ACCEPTED) {
        metrics.accepted.add(1, tags);
        metrics.lag.add(1);
        metrics.lagCents.add(amountCents);
      } else {
        refuse(answer);
      }
      if (pauseSeconds) {
        sleep(pauseSeconds);
      }
    },

    weather() {
      for (const stage of stages) {
        sleepUntil(exec.scenario.startTime + stage.at * 1000);
        set(stage);
      }
    },

    check() {
      // From the last answer on, as in the benchmark: slow answers move the windows against the stages.
      const { startTime } = exec.scenario;
      sleepUntil(Math.min((answeredAt || startTime) + checkEverySeconds * 1000, startTime + seconds * 1000));
      const now = Date.now();
      const records = askRecords({ from: now - WINDOW_MS, to: now - settledMs }, timeout);
      answeredAt = Date.now();
      if (records) {
        metrics.windowsChecked.add(1);
        compare(records);
      }
    },

    close({ from }) {
      // Only this user is left when the last payment has been answered.
      while (exec.instance.vusActive > 1) {
        sleep(0.05);
      }
      const sent = exec.instance.iterationsCompleted - checks - 1;
      const { atEnd, last, drainedSeconds } = drain(() => askRecords(everything(from), timeout), sent);
      if (!atEnd || !last) {
        return;
      }
      metrics.chargedAtEnd.add(chargedPayments(atEnd));
      atEnd.forEach(({ charged, feeBasisPoints }, i) => {
        metrics.processors[i].payments.add(charged.payments);
        metrics.processors[i].cents.add(charged.cents);
        metrics.processors[i].feeBasisPoints.add(feeBasisPoints);
      });
      metrics.drainSeconds.add(drainedSeconds);
      metrics.lag.add(-chargedPayments(last));
      metrics.lagCents.add(-chargedCents(last));
      compare(last);
      metrics.booksClosed.add(1);
    },

    teardown() {
      set(CALM);
    },

    handleSummary(data) {
      return report({ name, about, seconds, checks, amount, steps, pauseSeconds }, data);
    },
  };

  function stepNow() {
    const secondsNow = (Date.now() - exec.scenario.startTime) / 1000;
    return steps.findLastIndex(({ at }) => at <= secondsNow);
  }

  function refuse(answer) {
    metrics.refused.add(1);
    if (answer.status === 0 || answer.status >= 500) {
      metrics.unknown.add(1);
    }
    // Once for each user; where there was no answer at all, k6 says so itself.
    if (!told && answer.status !== 0) {
      told = true;
      console.error(`a payment was answered ${answer.status}`);
    }
  }
}

function purgeEverything() {
  const refused = http.batch(purgeRequests()).find(({ status }) => status !== 200);
  if (refused) {
    exec.test.abort(`${refused.url} answered ${refused.status} ${refused.error || refused.body}`);
  }
  const answer = gateway.purge();
  if (answer.status >= 300 || answer.status === 0) {
    const advice = 'start it with ALLOW_PURGE=true, or set PURGE=false to leave what it holds';
    exec.test.abort(`${BASE_URL} answered ${answer.status} ${answer.error || ''} to a purge: ${advice}`);
  }
}

function set(weather) {
  const refused = http.batch(weatherRequests(weather)).find(({ status }) => status !== 200);
  if (refused) {
    exec.test.abort(`${refused.url} answered ${refused.status} ${refused.error || refused.body}`);
  }
}

// After a purge, everything; otherwise what was stamped since the start.
function everything(from) {
  return PURGE ? null : { from, to: Date.now() };
}

// Queries until everything sent is charged and in the summary. The benchmark uses the first answer.
function drain(ask, sent) {
  const began = Date.now();
  const secondsSince = () => (Date.now() - began) / 1000;
  const done = (records) => records && chargedPayments(records) >= sent && differences(records).payments === 0;
  const atEnd = ask();
  let last = atEnd;
  while (!done(last) && secondsSince() < DRAIN_SECONDS) {
    sleep(0.5);
    last = ask();
  }
  return { atEnd, last, drainedSeconds: secondsSince() };
}

function compare(records) {
  const { payments, cents } = differences(records);
  metrics.inconsistentPayments.add(payments);
  metrics.inconsistentCents.add(cents);
  if (payments || cents) {
    console.error(`inconsistent: ${describe(records)}`);
  }
}

function sleepUntil(milliseconds) {
  // sleep() of nothing or less would never return.
  const seconds = (milliseconds - Date.now()) / 1000;
  if (seconds > 0) {
    sleep(seconds);
  }
}
