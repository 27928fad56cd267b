-- Memberships and the chat itself take numbers in the chat's log, like messages.

ALTER TABLE chat ADD COLUMN topic TEXT;
-- An object of JSON, as the client gave it.
ALTER TABLE chat ADD COLUMN data TEXT;
-- The number of the latest change of the chat itself, and its author; 0 if it has never changed.
ALTER TABLE chat ADD COLUMN changed_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chat ADD COLUMN changed_by INTEGER;

-- The latest change of each membership that has changed since its chat was made. A row outlives the membership and the
-- user: a client that returns is told that the membership has ended.
CREATE TABLE membership_change (
    chat_id INTEGER NOT NULL,
    customer_id INTEGER NOT NULL,
    -- The number of the change in its chat.
    seq INTEGER NOT NULL,
    -- Null for a change by the server.
    changed_by INTEGER,
    changed_at TEXT NOT NULL,
    PRIMARY KEY (chat_id, customer_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX membership_change_seq ON membership_change (chat_id, seq);
