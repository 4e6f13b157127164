-- The rollup of all rows at once. DuckDB divides towards zero, a second begins below: hence the remainder.
INSERT INTO rollup
SELECT (requested_at_us - ((requested_at_us % 1000000) + 1000000) % 1000000) // 1000000 AS second,
       processed_sequence // $chunk_sequences AS chunk, processor, count(*), sum(amount_cents)
FROM settled
GROUP BY ALL
ORDER BY second, chunk, processor
