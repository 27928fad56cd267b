-- Memberships and the chat itself take numbers in the chat's log, like messages.

ALTER TABLE chat
    ADD COLUMN topic text,
    -- An object of JSON, as the client gave it.
    ADD COLUMN data text,
    -- The number of the latest change of the chat itself, and its author; 0 if it has never changed.
    ADD COLUMN changed_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN changed_by bigint;

-- The latest change of each membership that has changed since its chat was made. A row outlives the membership and the
-- user: a client that returns is told that the membership has ended.
CREATE TABLE membership_change (
    chat_id bigint NOT NULL,
    customer_id bigint NOT NULL,
    -- The number of the change in its chat.
    seq bigint NOT NULL,
    -- Null for a change by the server.
    changed_by bigint,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (chat_id, customer_id)
);
CREATE UNIQUE INDEX membership_change_seq ON membership_change (chat_id, seq);
