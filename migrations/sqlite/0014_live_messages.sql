-- Messages that are not deleted are found without reading the tombstones between them.

-- The messages of a chat that a member has not read.
CREATE INDEX message_live ON message (chat_id, message_id) WHERE deleted_at IS NULL;

-- An author's messages in a chat: first the deleted ones, then the others.
CREATE INDEX message_author
    ON message (customer_id, chat_id, (CAST(deleted_at IS NULL AS integer)), message_id);
DROP INDEX message_customer_chat;

-- The passwords that are not hashed yet are found without reading every user, as on Postgres.
CREATE INDEX customer_plain ON customer (customer_id) WHERE password LIKE 'plain:%';
