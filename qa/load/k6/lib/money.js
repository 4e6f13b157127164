// Money is whole cents. Amounts are parsed from their text, so that no float ever holds one.

export function centsOf(text) {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (!match) {
    throw new Error(`${text} is not an amount`);
  }
  const [, sign, whole, fraction = ''] = match;
  const cents = Number(whole) * 100 + Number(fraction.slice(0, 2).padEnd(2, '0'));
  if (/[1-9]/.test(fraction.slice(2)) || !Number.isSafeInteger(cents)) {
    throw new Error(`${text} is not a whole number of cents`);
  }
  return sign ? -cents : cents;
}

export function decimalText(cents) {
  const digits = String(Math.abs(cents)).padStart(3, '0');
  return `${cents < 0 ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

// JSON.parse() would turn the amounts into floats: they are quoted first.
export function parseSummary(body) {
  return JSON.parse(body.replace(/("totalAmount"\s*:\s*)([^\s,}"]+)/g, '$1"$2"'));
}

export function totalsOf(summary) {
  const payments = summary.totalRequests;
  if (!Number.isInteger(payments) || payments < 0) {
    throw new Error(`${payments} is not a number of payments`);
  }
  return { payments, cents: centsOf(summary.totalAmount) };
}
