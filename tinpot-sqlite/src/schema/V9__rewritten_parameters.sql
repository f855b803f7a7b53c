-- One row: the mark of the last rewrite of all parameters, such as the id of the key that has sealed their secrets.
CREATE TABLE rewritten_parameters (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    mark TEXT NOT NULL
);
