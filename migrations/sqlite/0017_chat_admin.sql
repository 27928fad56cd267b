-- The admins of a chat are found without reading its other members.
CREATE INDEX IF NOT EXISTS customer_chat_admin ON customer_chat (chat_id) WHERE role = 'admin';
