-- A batch of messages takes half of its time to check the two foreign keys, row by row. What they guard is guarded once
-- for a batch: the writer locks each chat and each author before it stores a message, so that neither is deleted before
-- the commit; the deletion of a user or a chat ends with its last message. The command `check` finds a message without
-- its chat or its author. SQLite keeps both keys: there they cost little, and only a new table can go without them.
--
-- A server of an older version relies on the keys in open mode alone: it may store a message at the moment in which its
-- author is deleted. That message then has an author without a name.
DO $$
DECLARE
    old name;
BEGIN
    FOR old IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'message'::regclass AND contype = 'f'
            AND confrelid IN ('chat'::regclass, 'customer'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE message DROP CONSTRAINT %I', old);
    END LOOP;
END $$;
