-- The database of a MiniTower after some weeks. Times are in milliseconds.
CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL);
CREATE TABLE teams (
    id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password_hash TEXT,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
);
CREATE TABLE team_tokens (
    id INTEGER PRIMARY KEY, team_id INTEGER NOT NULL REFERENCES teams (id),
    token_hash TEXT NOT NULL UNIQUE, name TEXT, role TEXT NOT NULL DEFAULT 'admin',
    revoked_at INTEGER, last_used_at INTEGER, created_at INTEGER NOT NULL
);
CREATE TABLE environments (
    id INTEGER PRIMARY KEY, team_id INTEGER NOT NULL REFERENCES teams (id), name TEXT NOT NULL,
    is_default INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    UNIQUE (team_id, name)
);
CREATE TABLE apps (
    id INTEGER PRIMARY KEY, team_id INTEGER NOT NULL REFERENCES teams (id), slug TEXT NOT NULL,
    description TEXT, disabled INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, UNIQUE (team_id, slug)
);
CREATE TABLE app_versions (
    id INTEGER PRIMARY KEY, app_id INTEGER NOT NULL REFERENCES apps (id), version_no INTEGER NOT NULL,
    artifact_object_key TEXT NOT NULL, artifact_sha256 TEXT NOT NULL, entrypoint TEXT NOT NULL,
    timeout_seconds INTEGER, params_schema_json TEXT, towerfile_toml TEXT, import_paths_json TEXT,
    created_at INTEGER NOT NULL, UNIQUE (app_id, version_no)
);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, team_id INTEGER NOT NULL, app_id INTEGER NOT NULL,
    environment_id INTEGER NOT NULL, app_version_id INTEGER NOT NULL, run_no INTEGER NOT NULL,
    input_json TEXT, status TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0,
    max_retries INTEGER NOT NULL DEFAULT 0, retry_count INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0, queued_at INTEGER NOT NULL, started_at INTEGER,
    finished_at INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    UNIQUE (app_id, run_no)
);
CREATE TABLE runners (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, environment TEXT NOT NULL, labels_json TEXT,
    token_hash TEXT NOT NULL UNIQUE, status TEXT NOT NULL, max_concurrent INTEGER NOT NULL DEFAULT 1,
    last_seen_at INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
);
CREATE TABLE run_attempts (
    id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs (id),
    attempt_no INTEGER NOT NULL, runner_id INTEGER NOT NULL REFERENCES runners (id),
    lease_token_hash TEXT NOT NULL, lease_expires_at INTEGER NOT NULL, status TEXT NOT NULL,
    exit_code INTEGER, error_message TEXT, started_at INTEGER, finished_at INTEGER,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, UNIQUE (run_id, attempt_no)
);
CREATE TABLE run_logs (
    id INTEGER PRIMARY KEY, run_attempt_id INTEGER NOT NULL REFERENCES run_attempts (id),
    seq INTEGER NOT NULL, stream TEXT NOT NULL, line TEXT NOT NULL, logged_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL, UNIQUE (run_attempt_id, seq)
);
INSERT INTO schema_migrations VALUES (1, 1), (2, 1), (3, 1), (4, 1), (5, 1);

-- The password is U*U.
INSERT INTO teams VALUES
    (2, 'acme', 'Acme Ltd', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW', 1, 1),
    (3, 'beta', 'Beta', NULL, 1, 1);
INSERT INTO team_tokens VALUES
    (7, 2, '{admin}', NULL, 'admin', NULL, NULL, 1770000000000),
    (8, 2, '{member}', 'ci', 'member', NULL, NULL, 1770000000000),
    (9, 2, '{revoked}', NULL, 'admin', 1770000001000, NULL, 1770000000000),
    (10, 3, 'no digest', NULL, 'admin', NULL, NULL, 1770000000000);
INSERT INTO environments VALUES (1, 2, 'default', 1, 1, 1), (2, 3, 'default', 1, 1, 1);
INSERT INTO apps VALUES
    (5, 2, 'hello', 'Says hello', 0, 1770000000000, 1770000001000),
    (6, 3, 'old', NULL, 1, 1770000000000, 1770000001000);
INSERT INTO app_versions VALUES
    (11, 5, 1, '5/one.tar.gz', '{one}', './main.sh', 30, NULL, NULL, NULL, 1770000000000),
    (12, 5, 2, '5/two.tar.gz', '{two}', './main.sh', 30, NULL, NULL, NULL, 1770000001000),
    (13, 6, 1, '6/gone.tar.gz', '{one}', './main.py', 60, NULL, NULL, NULL, 1770000000000);
INSERT INTO runners VALUES
    (3, 'runner-1', 'default', NULL, '{runner}', 'online', 1, 1770000900000, 1, 1),
    (4, 'runner-2', '', NULL, 'x', 'offline', 1, NULL, 1, 1);

-- Completed, failed, lost twice, cancelled while it waited, waiting, running, and one of another team.
INSERT INTO runs VALUES
    (21, 2, 5, 1, 11, 1, '{"name":"Ada"}', 'completed', 3, 0, 0, 0, 1770000010000, 1770000012000, 1770000015000, 1770000010000, 1),
    (22, 2, 5, 1, 12, 2, NULL, 'failed', 0, 2, 0, 0, 1770000020000, 1770000022000, 1770000025000, 1770000020000, 1),
    (23, 2, 5, 1, 12, 3, '{}', 'dead', 0, 1, 1, 0, 1770000040000, 1770000031000, 1770000045000, 1770000030000, 1),
    (24, 2, 5, 1, 12, 4, '{}', 'cancelled', 0, 0, 0, 1, 1770000050000, NULL, 1770000051000, 1770000050000, 1),
    (25, 2, 5, 1, 12, 5, '{"name":"Eve"}', 'queued', 0, 0, 0, 0, 1770000060000, NULL, NULL, 1770000060000, 1),
    (26, 2, 5, 1, 12, 6, '{}', 'running', 9, 2, 0, 0, 1770000070000, 1770000071000, NULL, 1770000070000, 1),
    (27, 3, 6, 2, 13, 1, '{}', 'failed', 0, 0, 0, 0, 1770000080000, 1770000081000, 1770000085000, 1770000080000, 1);
INSERT INTO run_attempts VALUES
    (31, 21, 1, 3, 'a', 1, 'completed', 0, NULL, 1770000012000, 1770000015000, 1770000011000, 1),
    (32, 22, 1, 3, 'b', 1, 'failed', 3, 'exit status 3', 1770000022000, 1770000025000, 1770000021000, 1),
    (33, 23, 1, 3, 'c', 1, 'expired', NULL, NULL, 1770000031000, 1770000040000, 1770000030500, 1),
    (34, 23, 2, 3, 'd', 1, 'expired', NULL, NULL, NULL, 1770000045000, 1770000041000, 1),
    (35, 26, 1, 3, 'e', 1, 'running', NULL, NULL, 1770000071000, NULL, 1770000070500, 1),
    (36, 27, 1, 3, 'f', 1, 'failed', NULL, 'timeout', 1770000081000, 1770000085000, 1770000080500, 1);
INSERT INTO run_logs (run_attempt_id, seq, stream, line, logged_at, created_at) VALUES
    (31, 1, 'stderr', 'artifact unpacked', 1770000011500, 1),
    (31, 2, 'stdout', 'Hello, Ada!', 1770000012000, 1),
    (31, 3, 'stdout', '', 1770000012000, 1),
    (33, 1, 'stdout', 'first try', 1770000031000, 1),
    (33, 2, 'stdout', 'half', 1770000032000, 1),
    (34, 1, 'stdout', 'second try', 1770000041000, 1);
