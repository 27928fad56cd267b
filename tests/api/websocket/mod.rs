//! The WebSocket protocol: connection to chats, wrong frames, close codes, heartbeats.

mod bad_frames;
mod close_codes;
mod connect;
mod protocol_violations;
mod unidentified;
