-- The search index. A background task fills it from the log, in small steps, also for messages from before.

-- How far each chat is indexed. A chat without a row is not indexed at all.
CREATE TABLE search_position (
    chat_id INTEGER PRIMARY KEY,
    -- The messages whose latest change is at most this one are in the index with their present text.
    seq INTEGER NOT NULL,
    -- The highest id of a message that was indexed.
    last_message_id INTEGER NOT NULL DEFAULT 0,
    -- The number of messages that were put into the last segment.
    segment_messages INTEGER NOT NULL DEFAULT 0
);

-- A chat is indexed in segments, each a range of message ids that ends before the next segment. A search reads one
-- segment after the other, the newest first, so that each lookup is short.
CREATE TABLE search_segment (
    chat_id INTEGER NOT NULL,
    first_message_id INTEGER NOT NULL,
    PRIMARY KEY (chat_id, first_message_id)
) WITHOUT ROWID;

-- The grams of each message that has any, short pieces of its words, as integers of 32 bits. The index can remove the
-- tokens of a message only if it is told them.
CREATE TABLE message_search (
    chat_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    grams BLOB NOT NULL,
    PRIMARY KEY (chat_id, message_id)
) WITHOUT ROWID;

-- The tokens of each message, by its id. A token is made of the segment and of a gram, as 16 hexadecimal digits.
CREATE VIRTUAL TABLE message_token USING fts5 (
    tokens, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
);
-- Removed tokens are overwritten at once. Otherwise they would stay beside a mark until a later merge.
INSERT INTO message_token (message_token, rank) VALUES ('secure-delete', 1);
