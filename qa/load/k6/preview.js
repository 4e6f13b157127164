// The preview of the Rinha benchmark: one minute in which the default provider slows down, fails, then both fail, and
// the default works again while the fallback becomes slow.

import { duration, scaled, scaledStages, vusMax } from './lib/config.js';
import { scenario } from './lib/scenario.js';

const users = vusMax(550);
const seconds = scaled(60);

export const { options, setup, pay, weather, check, close, teardown, handleSummary } = scenario({
  name: 'preview',
  about: `${seconds} s, up to ${users} users with a second's pause each`,
  seconds,
  load: {
    executor: 'ramping-vus',
    startVUs: 1,
    stages: [{ target: users, duration: duration(seconds) }],
  },
  stages: scaledStages([
    { at: 1, default: [0, false], fallback: [0, false] },
    { at: 10, default: [100, false], fallback: [0, false] },
    { at: 20, default: [100, true], fallback: [0, false] },
    { at: 30, default: [2000, true], fallback: [1000, true] },
    { at: 40, default: [20, false], fallback: [20, false] },
    { at: 50, default: [0, false], fallback: [5000, false] },
  ]),
  pauseSeconds: 1,
  timeout: '1500ms',
  checkEverySeconds: Math.max(1, scaled(10)),
});
