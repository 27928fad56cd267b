-- Who is signed in. The token itself is never stored, only its SHA-256.
CREATE TABLE session (
    session_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE,
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    user_agent varchar(256)
);

-- A user's sessions; what has expired, by either limit.
CREATE INDEX session_customer ON session (customer_id, session_id);
CREATE INDEX session_expires ON session (expires_at);
CREATE INDEX session_last_used ON session (last_used_at);
