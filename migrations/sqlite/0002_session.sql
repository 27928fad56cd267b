-- Who is signed in. The token itself is never stored, only its SHA-256.
CREATE TABLE session (
    session_id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer_id INTEGER NOT NULL REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE,
    token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    user_agent TEXT
);

-- A user's sessions; what has expired, by either limit.
CREATE INDEX session_customer ON session (customer_id, session_id);
CREATE INDEX session_expires ON session (expires_at);
CREATE INDEX session_last_used ON session (last_used_at);
