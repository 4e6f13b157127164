-- The sums of a window as of the time of a query; `later` counts the charges whose answers arrived after it. In this
-- order: whole seconds; the ragged ends before and after them; and, subtracted, what arrived after the query, which is few
-- rows at the end of the table. Rows are in the log's order, so the ragged ends and the latest rows are found without a
-- full scan. One query, so that all parts are of one commit. Summed once, at the end: most of the cost of a summary is
-- planning, and each further sum is planned separately.
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
