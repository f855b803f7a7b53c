-- The queues of which nothing is given to workers.
CREATE TABLE paused_queues (
    queue TEXT PRIMARY KEY,
    since INTEGER NOT NULL
) WITHOUT ROWID;
