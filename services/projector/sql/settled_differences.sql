-- Settled payments of a window on which the log and the read model differ.

SELECT CASE WHEN m.correlation_id IS NULL THEN 'missing in the read model'
            WHEN l.correlation_id IS NULL THEN 'in the read model, and not in the log'
            WHEN m.times > 1 THEN 'more than once in the read model'
            ELSE 'differs in the read model' END AS what,
       coalesce(l.correlation_id, m.correlation_id) AS correlation_id,
       CASE WHEN m.correlation_id IS NULL THEN charge(l)
            WHEN l.correlation_id IS NULL THEN charge(m)
            WHEN m.times > 1 THEN m.times || ' rows'
            ELSE 'log ' || charge(l) || ', read model ' || charge(m) END AS detail
FROM settled AS l
FULL JOIN (
    SELECT correlation_id, min(processor) AS processor, min(amount_cents) AS amount_cents,
           min(requested_at_us) AS requested_at_us, min(processed_at_us) AS processed_at_us, min(attempt) AS attempt,
           count(*) AS times
    FROM model.settled
    GROUP BY correlation_id
) AS m ON l.correlation_id = m.correlation_id
WHERE (l.requested_at_us BETWEEN ? AND ? OR m.requested_at_us BETWEEN ? AND ?)
  AND (l.correlation_id IS NULL OR m.correlation_id IS NULL OR m.times > 1
       OR (l.processor, l.amount_cents, l.requested_at_us, l.processed_at_us, l.attempt)
          IS DISTINCT FROM (m.processor, m.amount_cents, m.requested_at_us, m.processed_at_us, m.attempt))
ORDER BY coalesce(l.requested_at_us, m.requested_at_us)
