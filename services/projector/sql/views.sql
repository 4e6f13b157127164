-- The read model for readers: exact decimals and times (UTC, without a zone) in place of cents and microseconds.
-- Temporary, for one connection: nothing of it is in the file.

CREATE TEMP MACRO decimal_amount(cents) AS (cents::DECIMAL(18, 0) * 0.01)::DECIMAL(18, 2);

CREATE TEMP VIEW settled_payments AS
SELECT correlation_id, processor, decimal_amount(amount_cents) AS amount, make_timestamp(requested_at_us) AS requested_at,
       make_timestamp(processed_at_us) AS processed_at, attempt, processed_sequence
FROM settled;

CREATE TEMP VIEW rejected_payments AS
SELECT correlation_id, decimal_amount(amount_cents) AS amount, reason, sequences[-1] AS rejected_sequence
FROM rejected;
