-- The identity of the log: one row. `epoch` is another after an import or a restore. `mark` grows with
-- the log; the file beside the database holds it too, so that an older copy is told from the original.
CREATE TABLE log_epoch (
    one INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    epoch TEXT NOT NULL,
    mark INTEGER NOT NULL DEFAULT 0
);
INSERT INTO log_epoch (epoch) VALUES (lower(hex(randomblob(16))));
