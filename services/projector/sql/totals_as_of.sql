-- The sums of a window as of $position: the partials and ragged ends of the chunks before its chunk, and the rows of its
-- chunk up to it.
SELECT processor, sum(payments), sum(amount_cents)
FROM (
    SELECT processor, payments, amount_cents
    FROM rollup WHERE chunk < $chunk AND second BETWEEN $first_second AND $last_second
    UNION ALL
    SELECT processor, payments, amount_cents
    FROM rollup_recent WHERE chunk < $chunk AND second BETWEEN $first_second AND $last_second
    UNION ALL
    SELECT processor, 1, amount_cents
    FROM settled WHERE processed_sequence < $chunk_begin AND requested_at_us BETWEEN $from_us AND $head_last_us
    UNION ALL
    SELECT processor, 1, amount_cents
    FROM settled WHERE processed_sequence < $chunk_begin AND requested_at_us BETWEEN $tail_first_us AND $to_us
    UNION ALL
    SELECT processor, 1, amount_cents
    FROM settled
    WHERE processed_sequence BETWEEN $chunk_begin AND $position AND requested_at_us BETWEEN $from_us AND $to_us
)
GROUP BY processor
