-- From the original's tables to a numbered log of changes per chat. Every row, id and time stays.

-- Ids: 64 bits, the sequences too.
ALTER TABLE customer ALTER COLUMN customer_id TYPE bigint;
ALTER TABLE chat ALTER COLUMN chat_id TYPE bigint;
ALTER TABLE customer_chat ALTER COLUMN customer_id TYPE bigint, ALTER COLUMN chat_id TYPE bigint;
ALTER TABLE message
    ALTER COLUMN message_id TYPE bigint,
    ALTER COLUMN chat_id TYPE bigint,
    ALTER COLUMN customer_id TYPE bigint;

DO $$
DECLARE
    pair text[];
    sequence text;
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[
        ARRAY['customer', 'customer_id'], ARRAY['chat', 'chat_id'], ARRAY['message', 'message_id']]
    LOOP
        sequence := pg_get_serial_sequence(pair[1], pair[2]);
        EXECUTE format('ALTER SEQUENCE %s AS bigint', sequence);
        -- Rows that were loaded with their ids may have left the sequence behind.
        EXECUTE format(
            'SELECT setval(%L, greatest((SELECT coalesce(max(%I), 0) FROM %I), (SELECT last_value FROM %s)),
                           (SELECT is_called FROM %s) OR EXISTS (SELECT FROM %I))',
            sequence, pair[2], pair[1], sequence, sequence, pair[1]);
    END LOOP;
END $$;

-- Passwords: what the original stored as it came is marked here and hashed by the server, which
-- cannot be done in SQL. A mark that no hash starts with makes that safe to break off and repeat.
ALTER TABLE customer ALTER COLUMN password TYPE text;
UPDATE customer SET password = 'plain:' || password;

-- The log: a chat's head, and on every message the number of its latest change and of its sending.
ALTER TABLE chat ADD COLUMN seq bigint NOT NULL DEFAULT 0;
ALTER TABLE message
    ADD COLUMN seq bigint,
    ADD COLUMN sent_seq bigint,
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN deleted_by bigint,
    ADD COLUMN reply_to bigint,
    ADD COLUMN client_message_id varchar(64),
    ALTER COLUMN content DROP NOT NULL,
    ALTER COLUMN customer_id DROP NOT NULL;

UPDATE message
SET seq = numbered.n, sent_seq = numbered.n
FROM (SELECT message_id, row_number() OVER (PARTITION BY chat_id ORDER BY message_id) AS n FROM message) AS numbered
WHERE message.message_id = numbered.message_id;

UPDATE chat
SET seq = heads.seq
FROM (SELECT chat_id, max(seq) AS seq FROM message GROUP BY chat_id) AS heads
WHERE chat.chat_id = heads.chat_id;

ALTER TABLE message ALTER COLUMN seq SET NOT NULL, ALTER COLUMN sent_seq SET NOT NULL;

-- How far a member has read.
ALTER TABLE customer_chat ADD COLUMN last_read_message_id bigint;

-- A deleted user's messages stay as tombstones of nobody; a cascade would tear holes into the log.
DO $$
DECLARE
    old name;
BEGIN
    FOR old IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'message'::regclass AND confrelid = 'customer'::regclass
    LOOP
        EXECUTE format('ALTER TABLE message DROP CONSTRAINT %I', old);
    END LOOP;
END $$;
ALTER TABLE message ADD CONSTRAINT fk_msg_customer
    FOREIGN KEY (customer_id) REFERENCES customer ON DELETE SET NULL ON UPDATE CASCADE;

-- What came after a number; a page of a chat; a sender's latest; a sender's own names for messages.
CREATE UNIQUE INDEX message_chat_seq ON message (chat_id, seq);
CREATE INDEX message_chat_message ON message (chat_id, message_id);
CREATE INDEX message_customer_chat ON message (customer_id, chat_id, message_id);
CREATE UNIQUE INDEX message_client_id ON message (chat_id, customer_id, client_message_id)
    WHERE client_message_id IS NOT NULL;
CREATE INDEX customer_chat_chat ON customer_chat (chat_id, customer_id);
