-- Users with very many messages who are deleted in the background. The row goes with the user.
CREATE TABLE user_deletion (
    customer_id bigint PRIMARY KEY REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE,
    -- True if chats without another member are deleted too.
    empty_chats_go boolean NOT NULL,
    -- The time of a recent step. If it is long ago, any server goes on with the deletion.
    stepped_at timestamptz NOT NULL
);
