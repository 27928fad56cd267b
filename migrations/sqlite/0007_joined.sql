-- The message sent last when the member joined: what was sent before is not unread. NULL in rows of an
-- older version, for which everything is.
ALTER TABLE customer_chat ADD COLUMN joined_message_id INTEGER;
