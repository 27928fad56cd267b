CREATE TABLE customer (
    customer_id serial PRIMARY KEY,
    username varchar(255) NOT NULL UNIQUE,
    password varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE chat (
    chat_id serial PRIMARY KEY,
    chat_name varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE customer_chat (
    customer_id int NOT NULL,
    chat_id int NOT NULL,
    role varchar(50) NOT NULL DEFAULT 'participant',
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, chat_id),
    CONSTRAINT fk_uc_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id)
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT fk_uc_chat FOREIGN KEY (chat_id) REFERENCES chat (chat_id)
        ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE message (
    message_id serial PRIMARY KEY,
    chat_id int NOT NULL,
    customer_id int NOT NULL,
    content text NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT fk_msg_chat FOREIGN KEY (chat_id) REFERENCES chat (chat_id)
        ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT fk_msg_customer FOREIGN KEY (customer_id) REFERENCES customer (customer_id)
        ON DELETE CASCADE ON UPDATE CASCADE
);
