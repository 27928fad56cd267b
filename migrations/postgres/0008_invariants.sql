-- The original's tables may come without NOT NULL. A column that is always read as there gets a value
-- in each row that has none. Where all is as the original's script says, nothing is read or written.
DO $$
DECLARE
    hole record;
BEGIN
    FOR hole IN
        SELECT wanted.* FROM (VALUES
            ('customer', 'username', '(SELECT ''user '' || customer_id || repeat(''_'', n)
                FROM generate_series(0, 255) AS n WHERE NOT EXISTS (SELECT FROM customer AS other
                    WHERE other.username = ''user '' || customer.customer_id || repeat(''_'', n))
                ORDER BY n LIMIT 1)'),
            -- No password is this one: its user gets in with a new one alone.
            ('customer', 'password', '''!'''),
            ('customer', 'created_at', 'now()'),
            ('chat', 'chat_name', '''chat '' || chat_id'),
            ('chat', 'created_at', 'now()'),
            ('customer_chat', 'role', '''participant'''),
            ('customer_chat', 'joined_at', 'now()'),
            ('message', 'sent_at', 'now()')) AS wanted (place, field, value)
        JOIN pg_attribute ON attrelid = place::regclass AND attname = field AND NOT attnotnull
    LOOP
        EXECUTE format('UPDATE %I SET %I = %s WHERE %2$I IS NULL', hole.place, hole.field, hole.value);
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET NOT NULL', hole.place, hole.field);
    END LOOP;
END $$;

-- The passwords that are not hashed yet are found without reading every user.
CREATE INDEX customer_plain ON customer (customer_id) WHERE password LIKE 'plain:%';

-- Since when a chat has no members, as the sweeper has seen it where everyone signs in.
ALTER TABLE chat ADD COLUMN empty_since timestamptz;
CREATE INDEX chat_empty ON chat (chat_id) WHERE empty_since IS NOT NULL;
