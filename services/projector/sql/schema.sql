-- The read model. No index and no unique constraint: on a million rows an ART index pins 50 MB and makes commits fail
-- under a small memory limit (docs/decisions). Rows are written once because the checkpoint is committed with them.

CREATE TABLE IF NOT EXISTS meta (format INTEGER NOT NULL, log_identity VARCHAR NOT NULL);

CREATE TABLE IF NOT EXISTS settled (
    correlation_id   UUID     NOT NULL,
    processor        VARCHAR  NOT NULL,
    amount_cents     BIGINT   NOT NULL,
    requested_at_us  BIGINT   NOT NULL,
    processed_at_us  BIGINT   NOT NULL,
    attempt          INTEGER  NOT NULL,
    -- Of PaymentProcessed; a separate column because summaries filter by it.
    processed_sequence BIGINT NOT NULL,
    sequences        BIGINT[] NOT NULL
);

CREATE TABLE IF NOT EXISTS rejected (
    correlation_id   UUID     NOT NULL,
    amount_cents     BIGINT   NOT NULL,
    reason           VARCHAR  NOT NULL,
    sequences        BIGINT[] NOT NULL
);

-- Sums of charges by the second of their stamp: a summary reads them in place of the rows of whole seconds. `chunk` is a
-- stretch of the log (projector/live/rollup.py); it allows a summary as of an earlier position.
CREATE TABLE IF NOT EXISTS rollup (
    second           BIGINT   NOT NULL,
    chunk            BIGINT   NOT NULL,
    processor        VARCHAR  NOT NULL,
    payments         BIGINT   NOT NULL,
    amount_cents     HUGEINT  NOT NULL
);

-- The same for the latest commits; merged into `rollup` from time to time. Both together are the rollup.
CREATE TABLE IF NOT EXISTS rollup_recent (
    second           BIGINT   NOT NULL,
    chunk            BIGINT   NOT NULL,
    processor        VARCHAR  NOT NULL,
    payments         BIGINT   NOT NULL,
    amount_cents     HUGEINT  NOT NULL
);

-- The position of the last purge: everything before it is void, and cannot be queried.
CREATE TABLE IF NOT EXISTS purged (position BIGINT NOT NULL);

-- Appended to, never updated. The rows hold everything up to `position`. Reading the log again begins at `replay_from`,
-- for the payments that had not ended at `position`.
CREATE TABLE IF NOT EXISTS checkpoint (position BIGINT NOT NULL, replay_from BIGINT NOT NULL);

-- When the broker stored the message at a checkpoint's position; it identifies the log (contract/log_mark.py).
-- Appended to like the checkpoints. A file of an older version has no rows here until its next commit.
CREATE TABLE IF NOT EXISTS log_mark (position BIGINT NOT NULL, stored_at_us BIGINT NOT NULL);

-- Stretches of the log, both ends included, that the broker could not deliver. Their events are in no row.
CREATE TABLE IF NOT EXISTS unread (first_sequence BIGINT NOT NULL, last_sequence BIGINT NOT NULL);
