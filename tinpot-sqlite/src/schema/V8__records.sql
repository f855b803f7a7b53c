-- Documents of access control. One that was removed keeps its row, without content, so that other processes learn of it.
CREATE TABLE records (
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    version  INTEGER NOT NULL, -- the revision that wrote it
    document BLOB,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;

CREATE INDEX records_by_version ON records (version);
CREATE INDEX removed_records ON records (version) WHERE document IS NULL;

-- One row: the last revision, and the one up to which removed documents are forgotten.
CREATE TABLE records_revision (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    revision  INTEGER NOT NULL,
    forgotten INTEGER NOT NULL
);

INSERT INTO records_revision (one, revision, forgotten) VALUES (1, 0, 0);

-- Append-only logs, by name, with the number of the last entry that each ever had.
CREATE TABLE record_logs (
    log  INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    last INTEGER NOT NULL
);

CREATE TABLE record_entries (
    log    INTEGER NOT NULL, -- of record_logs
    number INTEGER NOT NULL,
    entry  BLOB NOT NULL,
    PRIMARY KEY (log, number)
) WITHOUT ROWID;
