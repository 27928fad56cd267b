-- Every key of a chat's rows begins with the chat, so that they can be kept by chat: Citus and
-- partitioning demand the chat in each unique key. As many indexes as before: each key takes the
-- place of the index that began with the chat, and an index that of the key.

DO $$
DECLARE
    key record;
BEGIN
    FOR key IN
        SELECT conrelid::regclass AS place, conname FROM pg_constraint
        WHERE contype = 'p' AND conrelid IN ('message'::regclass, 'customer_chat'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', key.place, key.conname);
    END LOOP;
END $$;

ALTER TABLE message ADD PRIMARY KEY (chat_id, message_id);
DROP INDEX message_chat_message;
-- A message that is named by its id alone.
CREATE INDEX message_message ON message (message_id);

ALTER TABLE customer_chat ADD PRIMARY KEY (chat_id, customer_id);
DROP INDEX customer_chat_chat;
-- A user's chats.
CREATE INDEX customer_chat_customer ON customer_chat (customer_id, chat_id);
