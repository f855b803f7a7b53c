-- The runtime that executions of a deployed action need; empty for those that need a worker which offers the action. A route of
-- its own for each keeps the executions of one version from waiting behind those of another.
CREATE TABLE routes_with_runtime (
    route   INTEGER PRIMARY KEY,
    queue   TEXT NOT NULL,
    action  TEXT NOT NULL,
    runtime TEXT NOT NULL DEFAULT '',
    UNIQUE (queue, action, runtime)
);

INSERT INTO routes_with_runtime (route, queue, action) SELECT route, queue, action FROM routes;

DROP TABLE routes;

ALTER TABLE routes_with_runtime RENAME TO routes;
