// Numbers, money, ages and times as text.

const whole = new Intl.NumberFormat("en");
const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const time = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const precise = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

export const UNKNOWN = "–";

export const count = (value) => (value == null ? UNKNOWN : whole.format(value));

/** A rate or a quantile: one decimal below ten. */
export const figure = (value) => {
  if (value == null) return UNKNOWN;
  return value > 0 && value < 10 ? value.toFixed(1) : whole.format(Math.round(value));
};

export const amount = (cents) => (cents == null ? UNKNOWN : money.format(cents / 100));

export const percent = (share) => (share == null ? UNKNOWN : `${(share * 100).toFixed(share > 0 && share < 0.995 ? 1 : 0)} %`);

export const age = (seconds) => {
  if (seconds == null) return UNKNOWN;
  if (seconds < 1) return "under 1 s";
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
};

export const moment = (ms) => clock.format(new Date(ms));

export const timeOfDay = (ms) => time.format(new Date(ms));

export const preciseTime = (ms) => precise.format(new Date(ms));

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The hour and minute of a tick of an axis; at midnight the date. */
export const tick = (ms) => {
  const text = new Date(ms).toTimeString().slice(0, 5);
  return text === "00:00" ? day.format(new Date(ms)) : text;
};

/** This browser's time zone, as its difference from UTC at that time. */
export const zone = (ms) => {
  const minutes = -new Date(ms).getTimezoneOffset();
  if (!minutes) return "UTC";
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? "−" : "+"}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
};

export const bytes = (value) => {
  if (value == null) return UNKNOWN;
  const [unit, size] = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]].find(([, one]) => value >= one) ?? ["B", 1];
  return `${figure(value / size)} ${unit}`;
};

/** The value of a datetime-local input, in this browser's time zone. */
export const inputMoment = (ms) => {
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60000);
  return local.toISOString().slice(0, 19);
};

/** An element with text; texts of the stack are never taken as markup. */
export const element = (name, text = "", attributes = {}) => {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
