//! The documents and the page that the server serves.

mod asyncapi;
mod openapi;
mod web_page;
