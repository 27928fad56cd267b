-- Makes of a database of the original's, however it was altered, the one that the steps begin with. On
-- one as its script made it nothing happens here.

-- A membership of a user or chat that does not exist is none.
DELETE FROM customer_chat AS m
WHERE NOT EXISTS (SELECT FROM customer AS u WHERE u.customer_id = m.customer_id)
    OR NOT EXISTS (SELECT FROM chat AS c WHERE c.chat_id = m.chat_id);

-- Of a doubled membership the one of an admin stays, else the oldest.
DELETE FROM customer_chat AS m
USING (SELECT ctid, row_number() OVER (PARTITION BY customer_id, chat_id
        ORDER BY (role = 'admin') DESC NULLS LAST, joined_at NULLS LAST, ctid) AS n
    FROM customer_chat) AS doubled
WHERE m.ctid = doubled.ctid AND doubled.n > 1;

-- A message of an author who does not exist keeps its text, and has none.
ALTER TABLE message ALTER COLUMN customer_id DROP NOT NULL;
UPDATE message AS m SET customer_id = NULL
WHERE customer_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM customer AS u WHERE u.customer_id = m.customer_id);

-- Keys.
DO $$
DECLARE
    key record;
    old name;
BEGIN
    FOR key IN
        SELECT * FROM (VALUES ('customer', 'customer_id', 'PRIMARY KEY'), ('chat', 'chat_id', 'PRIMARY KEY'),
            ('message', 'message_id', 'PRIMARY KEY'), ('customer', 'username', 'UNIQUE')) AS k (place, field, kind)
        WHERE NOT EXISTS (SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attname = field
            WHERE indrelid = place::regclass AND indisunique AND indisvalid AND indpred IS NULL
                AND indnkeyatts = 1 AND indkey[0] = attnum AND (indisprimary OR kind = 'UNIQUE'))
    LOOP
        EXECUTE format('ALTER TABLE %I ADD %s (%I)', key.place, key.kind, key.field);
    END LOOP;

    FOR key IN
        SELECT * FROM (VALUES ('customer_chat', 'customer_id', 'customer'), ('customer_chat', 'chat_id', 'chat'),
            ('message', 'chat_id', 'chat')) AS k (place, field, target)
    LOOP
        -- One that would keep a user or a chat from being deleted, or leave rows behind.
        FOR old IN
            SELECT conname FROM pg_constraint
            WHERE conrelid = key.place::regclass AND confrelid = key.target::regclass
                AND contype = 'f' AND confdeltype <> 'c'
        LOOP
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', key.place, old);
        END LOOP;
        IF NOT EXISTS (SELECT FROM pg_constraint
            WHERE conrelid = key.place::regclass AND confrelid = key.target::regclass AND contype = 'f')
        THEN
            EXECUTE format('ALTER TABLE %I ADD FOREIGN KEY (%I) REFERENCES %I ON DELETE CASCADE ON UPDATE CASCADE',
                key.place, key.field, key.target);
        END IF;
    END LOOP;
END $$;
