-- Who asked, as the submitter says.
ALTER TABLE executions ADD COLUMN requested_by TEXT;

CREATE INDEX requested ON executions (requested_by, id) WHERE requested_by IS NOT NULL;
