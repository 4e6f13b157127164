-- The sums of a window as of the moment of a question; `later` counts what was charged after it. In this order: whole
-- seconds; the ragged end before them, and behind them; and off it what came after the question, which is few rows at the
-- table's end. Rows lie in the log's order, so the ragged ends and the latest rows are found without reading the table.
-- Summed once, at the end: most of what a summary costs is planning, and each sum more is planned for itself.
SELECT processor, sum(payments), sum(amount_cents), sum(later)
FROM (
    SELECT processor, payments, amount_cents, 0 AS later
    FROM rollup WHERE second BETWEEN $first_second AND $last_second
    UNION ALL
    SELECT processor, payments, amount_cents, 0
    FROM rollup_recent WHERE second BETWEEN $first_second AND $last_second
    UNION ALL
    SELECT processor, 1, amount_cents, 0
    FROM settled WHERE requested_at_us BETWEEN $from_us AND $head_last_us
    UNION ALL
    SELECT processor, 1, amount_cents, 0
    FROM settled WHERE requested_at_us BETWEEN $tail_first_us AND $to_us
    UNION ALL
    SELECT processor, -1, -amount_cents, 1
    FROM settled
    WHERE processed_sequence > $log_end AND processed_at_us > $asked_at_us AND requested_at_us BETWEEN $from_us AND $to_us
)
GROUP BY processor
