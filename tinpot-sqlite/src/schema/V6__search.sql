-- The words of each execution, by its row in executions. The words come in lower case with blanks between them; all but blanks are
-- letters and digits, which this tokenizer leaves alone. The text is not kept, since the execution has it.
CREATE VIRTUAL TABLE search USING fts5(words, content = '', contentless_delete = 1, tokenize = 'ascii');

-- Executions of earlier versions, which are put into the index from the newest on: those with rows below this one.
CREATE TABLE search_backlog (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    below INTEGER NOT NULL
);

INSERT INTO search_backlog (one, below) SELECT 1, max(row) + 1 FROM executions HAVING max(row) IS NOT NULL;
