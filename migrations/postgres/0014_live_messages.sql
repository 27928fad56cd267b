-- Messages that are not deleted are found without reading the tombstones between them. While an index is built,
-- messages can be read and not written: docs/OPERATIONS.md has the times, and how to build both beforehand. An index
-- of that name is kept, unless its build was broken off.
DO $$
DECLARE
    broken regclass;
BEGIN
    FOR broken IN
        SELECT indexrelid::regclass FROM pg_index
        WHERE NOT indisvalid
            AND indexrelid IN (to_regclass('message_live'), to_regclass('message_author'))
    LOOP
        EXECUTE format('DROP INDEX %s', broken);
    END LOOP;
END $$;

-- The messages of a chat that a member has not read.
CREATE INDEX IF NOT EXISTS message_live ON message (chat_id, message_id) WHERE deleted_at IS NULL;

-- An author's messages in a chat: first the deleted ones, then the others.
CREATE INDEX IF NOT EXISTS message_author
    ON message (customer_id, chat_id, (CAST(deleted_at IS NULL AS integer)), message_id);
DROP INDEX IF EXISTS message_customer_chat;
