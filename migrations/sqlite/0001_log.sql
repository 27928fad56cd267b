-- The same tables as on Postgres. AUTOINCREMENT: an id is never used again.

CREATE TABLE customer (
    customer_id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    created_at TEXT NOT NULL
);

CREATE TABLE chat (
    chat_id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat_name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    -- The number of the chat's latest change.
    seq INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE customer_chat (
    customer_id INTEGER NOT NULL REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE,
    chat_id INTEGER NOT NULL REFERENCES chat ON DELETE CASCADE ON UPDATE CASCADE,
    role TEXT NOT NULL DEFAULT 'participant',
    joined_at TEXT NOT NULL,
    -- How far the member has read.
    last_read_message_id INTEGER,
    PRIMARY KEY (customer_id, chat_id)
) WITHOUT ROWID;

CREATE TABLE message (
    message_id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat_id INTEGER NOT NULL REFERENCES chat ON DELETE CASCADE ON UPDATE CASCADE,
    -- A deleted user's messages stay as tombstones of nobody.
    customer_id INTEGER REFERENCES customer ON DELETE SET NULL ON UPDATE CASCADE,
    content TEXT,
    sent_at TEXT NOT NULL,
    -- The number of the message's latest change, and of its sending.
    seq INTEGER NOT NULL,
    sent_seq INTEGER NOT NULL,
    edited_at TEXT,
    deleted_at TEXT,
    deleted_by INTEGER,
    reply_to INTEGER,
    client_message_id TEXT
);

-- What came after a number; a page of a chat; a sender's latest; a sender's own names for messages.
CREATE UNIQUE INDEX message_chat_seq ON message (chat_id, seq);
CREATE INDEX message_chat_message ON message (chat_id, message_id);
CREATE INDEX message_customer_chat ON message (customer_id, chat_id, message_id);
CREATE UNIQUE INDEX message_client_id ON message (chat_id, customer_id, client_message_id)
    WHERE client_message_id IS NOT NULL;
CREATE INDEX customer_chat_chat ON customer_chat (chat_id, customer_id);
