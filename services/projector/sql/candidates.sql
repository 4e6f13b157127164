-- Payments that provider $1 may have charged, stamped from $2 to $3: those that it should have charged first; at most $4.

SELECT correlation_id::VARCHAR, state, amount_cents, requested_at_us
FROM (
    SELECT correlation_id, 1 AS rank, 'settled' AS state, amount_cents, requested_at_us
    FROM settled
    WHERE processor = $1 AND requested_at_us BETWEEN $2 AND $3
    UNION ALL
    SELECT a.correlation_id, 2,
           CASE WHEN EXISTS (FROM settled s WHERE s.correlation_id = a.correlation_id) THEN 'settled elsewhere'
                WHEN EXISTS (FROM rejected r WHERE r.correlation_id = a.correlation_id) THEN 'rejected'
                ELSE 'open' END,
           NULL, NULL
    FROM attempts a
    WHERE processor = $1 AND requested_at_us BETWEEN $2 AND $3
      AND NOT EXISTS (FROM settled s WHERE s.correlation_id = a.correlation_id AND s.processor = $1)
    UNION ALL
    SELECT correlation_id, 3, 'settled elsewhere', NULL, NULL
    FROM settled
    WHERE processor <> $1 AND requested_at_us BETWEEN $2 AND $3
)
QUALIFY row_number() OVER (PARTITION BY correlation_id ORDER BY rank) = 1
ORDER BY rank, correlation_id
LIMIT $4
