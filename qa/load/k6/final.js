// The final of the Rinha benchmark: five minutes, in which sometimes waiting for the cheap provider pays, sometimes the
// expensive one.

import { duration, scaled, scaledStages, vusMax } from './lib/config.js';
import { scenario } from './lib/scenario.js';

const users = vusMax(603);
const seconds = scaled(300);

export const { options, setup, pay, weather, check, close, teardown, handleSummary } = scenario({
  name: 'final',
  about: `${seconds} s, up to ${users} users with a second's pause each`,
  seconds,
  load: {
    executor: 'ramping-vus',
    startVUs: 1,
    stages: [{ target: users, duration: duration(seconds) }],
  },
  stages: scaledStages([
    { at: 1, default: [0, false], fallback: [0, false] },
    { at: 30, default: [1000, false], fallback: [0, false] },
    { at: 60, default: [500, false], fallback: [0, false] },
    { at: 90, default: [2000, true], fallback: [1000, false] },
    { at: 120, default: [5000, true], fallback: [5, false] },
    { at: 150, default: [0, false], fallback: [5, true] },
    { at: 180, default: [100, false], fallback: [5, false] },
    { at: 210, default: [50, false], fallback: [0, false] },
    { at: 240, default: [103, false], fallback: [10, false] },
    { at: 270, default: [2000, false], fallback: [0, false] },
  ]),
  pauseSeconds: 1,
  amount: '20.05',
  timeout: '1500ms',
  checkEverySeconds: Math.max(1, scaled(10)),
  settledMs: 2000,
});
