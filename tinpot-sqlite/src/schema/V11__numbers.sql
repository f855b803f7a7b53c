-- The row of an execution is its number, which no other execution ever has: the largest row of those that were removed.
ALTER TABLE store ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
