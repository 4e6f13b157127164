-- Merges the partials of single commits; `rollup_recent` is truncated in the same transaction.
INSERT INTO rollup
SELECT second, chunk, processor, sum(payments), sum(amount_cents) FROM rollup_recent
GROUP BY second, chunk, processor ORDER BY second, chunk, processor
