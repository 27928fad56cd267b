-- One row that readiness checks write to, to see whether the database takes writes. It holds how many
-- of them there were.
CREATE TABLE write_probe (
    id smallint PRIMARY KEY CHECK (id = 1),
    writes bigint NOT NULL
);
