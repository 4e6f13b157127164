-- The rollup of the rows from $first up to $end, by their numbers. DuckDB's division truncates towards zero; the remainder makes it floor.
INSERT INTO rollup
SELECT (requested_at_us - ((requested_at_us % 1000000) + 1000000) % 1000000) // 1000000 AS second,
       processed_sequence // $chunk_sequences AS chunk, processor, count(*), sum(amount_cents)
FROM settled WHERE rowid >= $first AND rowid < $end
GROUP BY ALL
ORDER BY second, chunk, processor
