-- The admins of a chat are found without reading its other members. While the index is built, memberships can be read
-- and not written: 0.2 s for 3 million.
CREATE INDEX IF NOT EXISTS customer_chat_admin ON customer_chat (chat_id) WHERE role = 'admin';
