-- Rejected payments on which the log and the read model differ.

SELECT CASE WHEN m.correlation_id IS NULL THEN 'missing in the read model'
            WHEN l.correlation_id IS NULL THEN 'in the read model, and not in the log'
            WHEN m.times > 1 THEN 'more than once in the read model'
            ELSE 'differs in the read model' END AS what,
       coalesce(l.correlation_id, m.correlation_id) AS correlation_id,
       'rejected: ' || coalesce(l.reason, m.reason) AS detail
FROM rejected AS l
FULL JOIN (
    SELECT correlation_id, min(amount_cents) AS amount_cents, min(reason) AS reason, count(*) AS times
    FROM model.rejected
    GROUP BY correlation_id
) AS m ON l.correlation_id = m.correlation_id
WHERE l.correlation_id IS NULL OR m.correlation_id IS NULL OR m.times > 1
   OR (l.amount_cents, l.reason) IS DISTINCT FROM (m.amount_cents, m.reason)
