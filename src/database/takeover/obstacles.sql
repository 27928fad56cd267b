-- What of the tables' shape stands in the way of a takeover, a sentence each.
WITH ours (place) AS (VALUES ('customer'), ('chat'), ('customer_chat'), ('message')),
tables AS (SELECT place, place::regclass::oid AS oid FROM ours),
wanted (place, field, kinds, right_type) AS (
    SELECT place, field, ARRAY['int4', 'int8', 'int2'], 'integer or bigint' FROM (VALUES
        ('customer', 'customer_id'), ('chat', 'chat_id'), ('customer_chat', 'customer_id'),
        ('customer_chat', 'chat_id'), ('message', 'message_id'), ('message', 'chat_id'),
        ('message', 'customer_id')) AS ids (place, field)
    UNION ALL
    SELECT place, field, ARRAY['varchar', 'text'], 'varchar or text' FROM (VALUES
        ('customer', 'username'), ('customer', 'password'), ('chat', 'chat_name'),
        ('customer_chat', 'role'), ('message', 'content')) AS texts (place, field)
    UNION ALL
    SELECT place, field, ARRAY['timestamptz'], 'timestamp with time zone' FROM (VALUES
        ('customer', 'created_at'), ('chat', 'created_at'), ('customer_chat', 'joined_at'),
        ('message', 'sent_at')) AS times (place, field)),
numbered (place, field) AS (VALUES ('customer', 'customer_id'), ('chat', 'chat_id'), ('message', 'message_id'))

SELECT format('the table %s belongs to %s, and only its owner may alter it', place, pg_get_userbyid(relowner))
FROM tables JOIN pg_class ON pg_class.oid = tables.oid WHERE NOT pg_has_role(relowner, 'USAGE')

UNION ALL
SELECT CASE WHEN attnum IS NULL THEN format('the table %s has no column %s', place, field)
    ELSE format('%s.%s is of type %s, and must be of type %s', place, field,
        format_type(atttypid, atttypmod), right_type) END
FROM wanted JOIN tables USING (place)
LEFT JOIN pg_attribute ON attrelid = tables.oid AND attname = field AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_type ON pg_type.oid = atttypid
WHERE attnum IS NULL OR NOT typname = ANY(kinds)

UNION ALL
SELECT format('%s.%s is NOT NULL without a default, and this server never fills it: give it a default, '
    'or drop its NOT NULL', place, attname)
FROM tables JOIN pg_attribute ON attrelid = tables.oid
WHERE attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = ''
    AND NOT EXISTS (SELECT FROM wanted WHERE wanted.place = tables.place AND field = attname)

UNION ALL
SELECT format('%s.%s has no sequence of its own to take ids from: '
    'ALTER SEQUENCE … OWNED BY %1$s.%2$s, and make it the default', place, field)
FROM numbered JOIN pg_attribute ON attrelid = place::regclass AND attname = field
WHERE pg_get_serial_sequence(place, field) IS NULL OR NOT (atthasdef OR attidentity <> '')

UNION ALL
SELECT format('the sequence of %s.%s does not count upwards for ever', place, field)
FROM numbered JOIN pg_sequence ON seqrelid = pg_get_serial_sequence(place, field)::regclass
WHERE seqincrement < 1 OR seqcycle

UNION ALL
SELECT DISTINCT format('the view %s reads the table %s: drop it, and make it again afterwards',
    ev_class::regclass, place)
FROM tables JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = tables.oid
    AND classid = 'pg_rewrite'::regclass
JOIN pg_rewrite ON pg_rewrite.oid = objid AND ev_class <> tables.oid

UNION ALL
SELECT format('the rule %s on the table %s is unknown to this server: drop it', rulename, place)
FROM tables JOIN pg_rewrite ON ev_class = tables.oid

UNION ALL
SELECT format('the table %s refers to %s by the key %s, which is about to be replaced: '
    'drop the constraint', conrelid::regclass, place, conname)
FROM tables JOIN pg_constraint ON contype = 'f' AND confrelid = tables.oid
WHERE place IN ('message', 'customer_chat')

UNION ALL
SELECT format('the constraint %s of the table %s keeps a row of %s from being deleted: '
    'make it ON DELETE CASCADE or SET NULL', conname, conrelid::regclass, place)
FROM tables JOIN pg_constraint ON contype = 'f' AND confrelid = tables.oid AND confdeltype IN ('a', 'r')
WHERE conrelid NOT IN (SELECT oid FROM tables)

UNION ALL
SELECT format('the constraint %s of the table %s is unknown to this server, and may refuse what it stores: '
    'drop it', conname, place)
FROM tables JOIN pg_constraint ON conrelid = tables.oid WHERE contype IN ('c', 'x')

UNION ALL
SELECT format('the unique index %s of the table %s is unknown to this server, and may refuse what it stores: '
    'drop it', indexrelid::regclass, place)
FROM tables JOIN pg_index ON indrelid = tables.oid AND indisunique AND indexprs IS NULL
CROSS JOIN LATERAL (SELECT array_agg(attname::text ORDER BY attname) AS fields FROM pg_attribute
    WHERE attrelid = indrelid AND attnum = ANY(indkey)) AS key
WHERE fields <@ (SELECT array_agg(field) FROM wanted WHERE wanted.place = tables.place)
    AND NOT fields @> ARRAY[CASE place WHEN 'customer_chat' THEN 'chat_id' ELSE place || '_id' END]
    AND fields <> ARRAY['username']
