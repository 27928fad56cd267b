//! Limits of size, time, number and rate. A client that meets one gets its answer, and the others
//! are served.

mod connections;
mod large_texts;
mod page_reads;
mod password_hashing;
mod request_bodies;
mod request_heads;
mod request_rates;
mod slow_clients;
mod socket_rates;
mod ten_thousand_sockets;
mod unread_answers;
