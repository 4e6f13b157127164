// Ten steps up to a rate that a small machine does not reach. No more payments are in flight than there are virtual
// users, so payments beyond the machine's capacity are not sent and reported, instead of accumulating.

import { duration, rateMax, scaled, vusMax } from './lib/config.js';
import { scenario } from './lib/scenario.js';

const STEPS = 10;

const users = vusMax(200);
const rate = rateMax(2000);
const seconds = scaled(60);
const stepSeconds = seconds / STEPS;
const steps = Array.from({ length: STEPS }, (_, i) => ({
  at: i * stepSeconds,
  rate: Math.max(1, Math.round((rate * (i + 1)) / STEPS)),
}));

export const { options, setup, pay, weather, check, close, teardown, handleSummary } = scenario({
  name: 'ramp',
  about: `${STEPS} steps of ${stepSeconds} s up to ${rate} payments a second, at most ${users} in flight`,
  seconds,
  load: {
    executor: 'ramping-arrival-rate',
    startRate: steps[0].rate,
    timeUnit: '1s',
    preAllocatedVUs: users,
    stages: steps.flatMap((step) => [
      { target: step.rate, duration: '0s' },
      { target: step.rate, duration: duration(stepSeconds) },
    ]),
  },
  steps,
  checkEverySeconds: Math.max(1, scaled(10)),
});
