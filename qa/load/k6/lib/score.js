// The score of the Rinha benchmark, in whole cents; docs/how-to/load.md explains it.

const BONUS_BELOW_MS = 11;
const BONUS_PERCENT_FOR_EACH_MS = 2;
const FINE_PERCENT = 35;

// `charged` lists {cents, feeBasisPoints} for each provider.
export function score({ charged, p99Ms, inconsistent, lag }) {
  const gross = charged.reduce((total, { cents }) => total + cents, 0);
  const fees = Math.round(charged.reduce((total, one) => total + one.cents * one.feeBasisPoints, 0) / 10000);
  const profit = gross - fees;
  // The final rounds the 99th percentile to hundredths of a millisecond, and the bonus to whole per cent.
  const p99 = Math.round(p99Ms * 100) / 100;
  const bonusPercent = Math.max(0, Math.round((BONUS_BELOW_MS - p99) * BONUS_PERCENT_FOR_EACH_MS));
  const finePercent = inconsistent ? FINE_PERCENT : 0;
  const bonus = Math.round((profit * bonusPercent) / 100);
  const fine = Math.round((profit * finePercent) / 100);
  return {
    gross_cents: gross,
    fees_cents: fees,
    profit_cents: profit,
    bonus_percent: bonusPercent,
    bonus_cents: bonus,
    fine_percent: finePercent,
    fine_cents: fine,
    total_cents: profit + bonus - fine,
    // More charged than was accepted.
    disqualified: lag < 0,
  };
}
