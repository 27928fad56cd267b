-- The latest message of a chat, and the seq of the chat at which it was the latest; 0 if the chat has no message.
-- A server of an older version moves `seq` alone. The latest message is then read from `message`, until a server
-- of this version stores it. No row is rewritten here.
ALTER TABLE chat
    ADD COLUMN last_message_id bigint NOT NULL DEFAULT 0,
    ADD COLUMN last_message_seq bigint NOT NULL DEFAULT 0;
