//! A socket that waits for the answer of each frame.

use super::{
    caller::Caller,
    websocket::{TEXT, frames, masked, open},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connected socket.
pub struct Dialog {
    stream: TcpStream,
    /// The beginning of an incomplete frame.
    rest: Vec<u8>,
}

impl Dialog {
    /// Connects.
    pub async fn open(port: u16, caller: &Caller) -> Result<Self, String> {
        let stream = open(port, caller, None).await;
        let stream = stream.map_err(|e| format!("a socket cannot connect: {e}"))?;
        let rest = Vec::new();
        Ok(Self { stream, rest })
    }

    /// Sends a frame and waits for its ack. Returns the number of messages that came before the ack.
    pub async fn ask(&mut self, kind: &str, content: &Value) -> Result<usize, String> {
        let ended = |e: std::io::Error| format!("a socket ended: {e}");
        let frame = json!({ "type": kind, "id": 1, "content": content }).to_string();
        let frame = masked(TEXT, frame.as_bytes());
        self.stream.write_all(&frame).await.map_err(ended)?;
        let (mut messages, mut answer) = (0, None);
        while answer.is_none() {
            if self.stream.read_buf(&mut self.rest).await.map_err(ended)? == 0 {
                return Err("the server ended a socket".to_owned());
            }
            let used = frames(&self.rest, |_, payload| {
                if payload.starts_with(br#"{"type":"send-message""#) {
                    messages += 1;
                } else if payload.starts_with(br#"{"type":"ack""#) {
                    answer = Some(Ok(messages));
                } else if payload.starts_with(br#"{"type":"error""#) {
                    answer = Some(Err(String::from_utf8_lossy(payload).into_owned()));
                }
            });
            self.rest.drain(..used);
        }
        answer.unwrap_or(Ok(messages))
    }
}
