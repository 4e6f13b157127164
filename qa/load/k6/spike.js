// A low rate, fifteen times as much within a second, and low again: the spike must be charged soon.

import { duration, rateMax, scaled, vusMax } from './lib/config.js';
import { scenario } from './lib/scenario.js';

const users = vusMax(400);
const peak = rateMax(900);
const quiet = Math.max(1, Math.round(peak / 15));

export const { options, setup, pay, weather, check, close, teardown, handleSummary } = scenario({
  name: 'spike',
  about: `${scaled(10)} s at ${peak} payments a second between quiet ones at ${quiet}, at most ${users} in flight`,
  seconds: scaled(45),
  load: {
    executor: 'ramping-arrival-rate',
    startRate: quiet,
    timeUnit: '1s',
    preAllocatedVUs: users,
    stages: [
      { target: quiet, duration: duration(scaled(12)) },
      { target: peak, duration: duration(scaled(1)) },
      { target: peak, duration: duration(scaled(10)) },
      { target: quiet, duration: duration(scaled(1)) },
      { target: quiet, duration: duration(scaled(21)) },
    ],
  },
  checkEverySeconds: Math.max(1, scaled(5)),
});
