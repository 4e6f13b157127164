// Half an hour at a constant rate, with one change of the providers' behaviour each minute, so that slow growth of
// memory or of open payments shows.

import { duration, rateMax, scaled, vusMax } from './lib/config.js';
import { scenario } from './lib/scenario.js';

const CYCLE_SECONDS = 60;
const CYCLE = [
  { at: 1, default: [0, false], fallback: [0, false] },
  { at: 15, default: [100, false], fallback: [0, false] },
  { at: 25, default: [100, true], fallback: [5, false] },
  { at: 35, default: [500, true], fallback: [200, true] },
  { at: 40, default: [5, false], fallback: [5, false] },
];

const users = vusMax(200);
const rate = rateMax(200);
const seconds = scaled(1800);
const cycles = Array.from({ length: Math.ceil(seconds / CYCLE_SECONDS) }, (_, i) => i * CYCLE_SECONDS);

export const { options, setup, pay, weather, check, close, teardown, handleSummary } = scenario({
  name: 'soak',
  about: `${seconds} s of ${rate} payments a second, at most ${users} in flight`,
  seconds,
  load: {
    executor: 'constant-arrival-rate',
    rate,
    duration: duration(seconds),
    preAllocatedVUs: users,
  },
  stages: cycles
    .flatMap((start) => CYCLE.map((stage) => ({ ...stage, at: start + stage.at })))
    .filter(({ at }) => at < seconds),
});
