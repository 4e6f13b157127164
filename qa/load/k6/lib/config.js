// The settings, from the environment; an empty variable counts as unset.

if (typeof crypto === 'undefined' || !crypto.randomUUID) {
  throw new Error('these scripts need k6 1.0 or newer');
}

export const BASE_URL = origin('BASE_URL', 'http://127.0.0.1:9999');
export const PROCESSOR_URLS = {
  default: origin('PROCESSOR_DEFAULT_URL', 'http://127.0.0.1:8001'),
  fallback: origin('PROCESSOR_FALLBACK_URL', 'http://127.0.0.1:8002'),
};
export const TOKEN = text('TOKEN', '123');
export const OUT = text('OUT', '');
// Without a purge only what is charged from the start on counts, and no other client may send payments meanwhile.
export const PURGE = text('PURGE', 'true') !== 'false';
export const DRAIN_SECONDS = number('DRAIN_SECONDS', 30, 0, 600);

const SCALE = number('SCALE', 1, 0.01, 10);

export const vusMax = (otherwise) => Math.round(number('MAX_VUS', otherwise, 1, 5000));
export const rateMax = (otherwise) => Math.round(number('RATE', otherwise, 1, 20000));

// A scenario's time, shortened by SCALE.
export const scaled = (seconds) => Math.round(seconds * SCALE * 1000) / 1000;

// The stages of a scenario in a shorter time, with shorter delays: attempts must not outlast their stage more than in
// the whole scenario. The windows are not scaled.
export function scaledStages(stages) {
  const shorter = ([delay, failing]) => [Math.round(delay * Math.min(1, SCALE)), failing];
  return stages.map((stage) => ({
    at: scaled(stage.at),
    default: shorter(stage.default),
    fallback: shorter(stage.fallback),
  }));
}

// k6 refuses fractions of a millisecond.
export const duration = (seconds) => `${Math.round(seconds * 1000)}ms`;

function text(name, otherwise) {
  return __ENV[name] || otherwise;
}

function origin(name, otherwise) {
  return text(name, otherwise).replace(/\/+$/, '');
}

function number(name, otherwise, least, most) {
  const value = Number(text(name, otherwise));
  if (!(value >= least && value <= most)) {
    throw new Error(`${name} must be a number from ${least} to ${most}`);
  }
  return value;
}
