-- When a chat was deleted. From then on nobody sees it; its messages are swept away a few at a time,
-- however many they are, and the row goes with the last of them.
ALTER TABLE chat ADD COLUMN deleted_at TEXT;
CREATE INDEX chat_deleted ON chat (chat_id) WHERE deleted_at IS NOT NULL;
