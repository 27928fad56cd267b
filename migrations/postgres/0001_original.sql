-- The tables as the original API made them. On its own database nothing happens here: it has them.

CREATE TABLE IF NOT EXISTS customer (
    customer_id serial PRIMARY KEY,
    username varchar(255) NOT NULL UNIQUE,
    password varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS chat (
    chat_id serial PRIMARY KEY,
    chat_name varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS customer_chat (
    customer_id int NOT NULL,
    chat_id int NOT NULL,
    role varchar(50) NOT NULL DEFAULT 'participant',
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, chat_id),
    CONSTRAINT fk_uc_customer FOREIGN KEY (customer_id) REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT fk_uc_chat FOREIGN KEY (chat_id) REFERENCES chat ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE IF NOT EXISTS message (
    message_id serial PRIMARY KEY,
    chat_id int NOT NULL,
    customer_id int NOT NULL,
    content text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT fk_msg_chat FOREIGN KEY (chat_id) REFERENCES chat ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT fk_msg_customer FOREIGN KEY (customer_id) REFERENCES customer ON DELETE CASCADE ON UPDATE CASCADE
);
