-- Names that look alike are one name. A row has the skeletons of its name where no earlier row has them:
-- names from before this stay, whatever they look like. The server fills the columns, which cannot be done
-- in SQL. skeleton_of is the name that they were made of.
ALTER TABLE customer ADD COLUMN skeleton BLOB;
ALTER TABLE customer ADD COLUMN written_skeleton BLOB;
ALTER TABLE customer ADD COLUMN skeleton_of TEXT;
CREATE UNIQUE INDEX customer_skeleton ON customer (skeleton);
CREATE UNIQUE INDEX customer_written_skeleton ON customer (written_skeleton);
CREATE INDEX customer_without_skeleton ON customer (customer_id)
    WHERE skeleton_of IS DISTINCT FROM username;

-- The user who made the chat, for the limit of chats that one user makes; null where that is not known.
ALTER TABLE chat ADD COLUMN created_by INTEGER;
CREATE INDEX chat_created_by ON chat (created_by) WHERE created_by IS NOT NULL;
