//! A WebSocket, byte by byte, on a TCP connection. It can break rules, stay silent, or read nothing.

use super::{asyncapi::Watch, patiently};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
};

/// The kernel's receive buffer, in bytes. It is small, so that the server soon notices a client that
/// does not read.
const RECEIVE_BUFFER: u32 = 8 * 1024;

/// An upgraded connection.
pub struct RawSocket {
    stream: BufReader<TcpStream>,
    /// Checks the frames against the document.
    watch: Watch,
}

impl RawSocket {
    /// Opens one. It answers no ping.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_from(Ipv4Addr::LOCALHOST, address).await
    }

    /// Opens one from this address of the machine.
    pub async fn open_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("a source address");
        socket
            .set_recv_buffer_size(RECEIVE_BUFFER)
            .expect("a small buffer");
        let stream = patiently("a connection", socket.connect(address))
            .await
            .expect("a connection");
        let mut wire = Self {
            stream: BufReader::new(stream),
            watch: Watch::default(),
        };
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        wire.write(request.as_bytes()).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = patiently("the upgrade", wire.stream.read_u8()).await;
            head.push(byte.expect("the upgrade"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
        wire
    }

    /// Writes bytes as they are. An error is ignored: a server that has closed may still have frames to
    /// read.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = patiently("room to write", self.stream.get_mut().write_all(bytes)).await;
    }

    /// Shuts the sending side down.
    pub async fn finish(&mut self) {
        self.stream
            .get_mut()
            .shutdown()
            .await
            .expect("an open connection");
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Value) {
        let text = frame.to_string();
        self.watch.sent(&text);
        self.write(&masked(0x81, text.as_bytes())).await;
    }

    /// Connects to a chat and waits for the ack.
    pub async fn connect(&mut self, user: i64, chat: i64) {
        let content = json!({ "customerId": user, "chatId": chat });
        self.send(json!({ "type": "connect-chat", "id": 1, "content": content }))
            .await;
        while self.next_text().await["type"] != "ack" {}
    }

    /// The next frame: its first byte and its payload; none at the end.
    pub async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        patiently("a frame", self.read_frame()).await
    }

    async fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let length = match self.stream.read_u8().await.ok()? {
            126 => u64::from(self.stream.read_u16().await.ok()?),
            127 => self.stream.read_u64().await.ok()?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).ok()?];
        self.stream.read_exact(&mut payload).await.ok()?;
        if first == 0x81 {
            self.watch
                .received(std::str::from_utf8(&payload).expect("UTF-8"));
        }
        Some((first, payload))
    }

    /// The next text frame, passing over pings without an answer.
    pub async fn next_text(&mut self) -> Value {
        loop {
            match self.next().await {
                Some((0x81, text)) => return serde_json::from_slice(&text).expect("JSON"),
                Some((0x89, _)) => {}
                other => panic!("a text frame was expected, {other:?} came"),
            }
        }
    }

    /// The code of the close frame that comes, passing over other frames; 1006 if the
    /// connection ends without one.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some((0x88, payload)) => {
                    return match payload.first_chunk() {
                        Some(code) => u16::from_be_bytes(*code),
                        None => 1005,
                    };
                }
                Some(_) => {}
                None => return 1006,
            }
        }
    }
}

/// A client's frame with this first byte. Its mask is zero, which changes nothing and is allowed.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
