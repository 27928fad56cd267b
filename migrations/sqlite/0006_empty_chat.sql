-- Since when a chat has no members, as the sweeper has seen it where everyone signs in.
ALTER TABLE chat ADD COLUMN empty_since TEXT;
CREATE INDEX chat_empty ON chat (chat_id) WHERE empty_since IS NOT NULL;
