-- One row that readiness checks write to, to see whether the file takes writes. It holds how many of
-- them there were.
CREATE TABLE write_probe (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    writes INTEGER NOT NULL
);
