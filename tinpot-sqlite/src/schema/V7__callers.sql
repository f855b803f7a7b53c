-- The team of an execution, and the caller who submitted it. NULL is the default team, and a caller who is not known.
ALTER TABLE executions ADD COLUMN team TEXT;

ALTER TABLE executions ADD COLUMN caller TEXT;

CREATE INDEX owned ON executions (caller, id) WHERE caller IS NOT NULL;

-- Idempotency keys that begin as the present ones do, but were chosen by submitters. In two steps: the new form of one
-- key may be the old form of another. No key of a submitter has a control character.
UPDATE executions SET idempotency_key = char(1) || idempotency_key
WHERE (idempotency_key >= 'u/' AND idempotency_key < 'u0') OR (idempotency_key >= 'c/' AND idempotency_key < 'c0');

UPDATE executions SET idempotency_key = 'u///' || substr(idempotency_key, 2)
WHERE idempotency_key >= char(1) AND idempotency_key < char(2);
