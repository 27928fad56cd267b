-- The latest message of a chat, and the seq of the chat at which it was the latest; 0 if the chat has no message.
-- Where last_message_seq is not seq, the latest message is read from `message`.
ALTER TABLE chat ADD COLUMN last_message_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chat ADD COLUMN last_message_seq INTEGER NOT NULL DEFAULT 0;
