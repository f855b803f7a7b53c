-- Which execution asked for this one.
ALTER TABLE executions ADD COLUMN parent BLOB;

CREATE INDEX children ON executions (parent, id) WHERE parent IS NOT NULL;
