-- The identity of the log: one row. `epoch` is another after an import or a restore. `mark` grows with
-- the log, so that a server sees that the database went back. `place` tells where the rows were written:
-- a copy that was loaded elsewhere finds another place around it.
CREATE TABLE log_epoch (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch text NOT NULL,
    mark bigint NOT NULL DEFAULT 0,
    place text
);
INSERT INTO log_epoch (epoch) VALUES (replace(gen_random_uuid()::text, '-', ''));
