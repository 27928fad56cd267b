-- The search index. A background task fills it from the log, in small steps, also for messages from before. A server
-- of an older version neither reads nor writes these tables. No other table is read or locked here.

-- How far each chat is indexed. A chat without a row is not indexed at all.
CREATE TABLE search_position (
    chat_id bigint PRIMARY KEY,
    -- The messages whose latest change is at most this one are in the index with their present text.
    seq bigint NOT NULL,
    -- The highest id of a message that was indexed.
    last_message_id bigint NOT NULL DEFAULT 0,
    -- The number of messages that were put into the last segment.
    segment_messages bigint NOT NULL DEFAULT 0
);

-- A chat is indexed in segments, each a range of message ids that ends before the next segment. A search reads one
-- segment after the other, the newest first, so that each lookup is short.
CREATE TABLE search_segment (
    chat_id bigint NOT NULL,
    first_message_id bigint NOT NULL,
    PRIMARY KEY (chat_id, first_message_id)
);

-- The tokens of each message that has any. A token is made of the segment and of a gram, a short piece of a word.
CREATE TABLE message_search (
    chat_id bigint NOT NULL,
    message_id bigint NOT NULL,
    tokens bigint[] NOT NULL,
    PRIMARY KEY (chat_id, message_id)
);

-- Without a list of pending entries, which every search would have to read.
CREATE INDEX message_search_tokens ON message_search USING gin (tokens) WITH (fastupdate = off);
