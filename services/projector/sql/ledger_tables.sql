-- Every payment as the log records it, for `projector verify`.

CREATE TABLE settled (correlation_id UUID, processor VARCHAR, amount_cents BIGINT, requested_at_us BIGINT,
                      processed_at_us BIGINT, attempt INTEGER, processed_sequence BIGINT);
CREATE TABLE rejected (correlation_id UUID, amount_cents BIGINT, reason VARCHAR);
CREATE TABLE attempts (correlation_id UUID, processor VARCHAR, requested_at_us BIGINT);
CREATE TABLE charged_since (correlation_id UUID, processor VARCHAR, amount_cents BIGINT, requested_at_us BIGINT);
CREATE VIEW charged AS
SELECT processor, amount_cents, requested_at_us FROM settled
UNION ALL
SELECT processor, amount_cents, requested_at_us FROM charged_since;
CREATE MACRO moment(us) AS strftime(make_timestamp(us), '%Y-%m-%dT%H:%M:%S.%fZ');
CREATE MACRO money(cents) AS printf('%d.%02d', cents // 100, cents % 100);
CREATE MACRO charge(row) AS
    row.processor || ' ' || money(row.amount_cents) || ' requested ' || moment(row.requested_at_us);
