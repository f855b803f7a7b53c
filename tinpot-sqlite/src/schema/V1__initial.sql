PRAGMA application_id = 0x54504f54; -- "TPOT"

-- One row: which store this is, which life of a coordinator it is in, and which file it was then.
CREATE TABLE store (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    instance INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    file     TEXT NOT NULL
);

-- The catalogue: what was offered last under each name, as JSON.
CREATE TABLE actions (
    name   TEXT PRIMARY KEY,
    action TEXT NOT NULL
) WITHOUT ROWID;

-- Pairs of queue and action, so that executions and their indexes carry a small number instead.
CREATE TABLE routes (
    route  INTEGER PRIMARY KEY,
    queue  TEXT NOT NULL,
    action TEXT NOT NULL,
    UNIQUE (queue, action)
);

-- A table with row ids, since rows of some hundred bytes make a tree with them flat, and appending to it is SQLite's fastest insert.
CREATE TABLE executions (
    row             INTEGER PRIMARY KEY, -- in the order of acceptance
    id              BLOB NOT NULL,       -- 16 bytes
    route           INTEGER NOT NULL,
    state           INTEGER NOT NULL,    -- see record.rs
    rank            INTEGER NOT NULL,    -- the priority, negated: what runs first sorts first
    accepted_at     INTEGER NOT NULL,    -- this and all times: microseconds since the Unix epoch
    not_before      INTEGER,
    expires_at      INTEGER,
    finished_at     INTEGER,
    lease           INTEGER,             -- of the latest attempt, in microseconds
    log_lines       INTEGER NOT NULL,
    idempotency_key TEXT,
    parameters      TEXT,                -- NULL: in large_parameters
    rest            TEXT NOT NULL        -- JSON: what no condition and no index asks for
);

CREATE UNIQUE INDEX by_id ON executions (id);
-- For lists, counts and retention. The one index over all rows beside the ids: more of them would make every execution dearer.
CREATE INDEX listed ON executions (route, state, id);
CREATE UNIQUE INDEX by_key ON executions (idempotency_key) WHERE idempotency_key IS NOT NULL;
-- What waits; rows leave these indexes when they are granted.
CREATE INDEX ready ON executions (route, rank, id) WHERE state = 0;
CREATE INDEX delayed ON executions (not_before, id) WHERE state = 1;
CREATE INDEX expiring ON executions (expires_at, id) WHERE expires_at IS NOT NULL AND state <= 1;

-- Parameters of more than a kilobyte, so that a change of status does not write them again.
CREATE TABLE large_parameters (
    row        INTEGER PRIMARY KEY, -- of executions
    parameters TEXT NOT NULL
);

-- Logs: many lines a row. See log_codec.rs for the data.
CREATE TABLE log_chunks (
    row       INTEGER PRIMARY KEY,
    execution INTEGER NOT NULL, -- the row of executions
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    packed    INTEGER NOT NULL, -- 1: compressed; 0: the tail, which still grows
    data      BLOB NOT NULL
);

CREATE INDEX log_order ON log_chunks (execution, first_seq, packed);
