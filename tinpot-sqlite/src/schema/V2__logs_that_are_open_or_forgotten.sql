-- Whether lines of an attempt that has ended are on their way; a coordinator that starts has to expect them.
ALTER TABLE executions ADD COLUMN log_open INTEGER NOT NULL DEFAULT 0;

CREATE INDEX open_logs ON executions (row) WHERE log_open = 1;

-- Logs whose executions are forgotten already; large ones are removed step by step.
CREATE TABLE forgotten_logs (
    execution INTEGER PRIMARY KEY -- the row it had in executions
);
