//! The subset of WebSocket that a load needs, with minimal work per frame.

use super::caller::Caller;
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// First byte of an unfragmented text frame.
pub const TEXT: u8 = 0x81;
/// First byte of a close frame.
pub const CLOSE: u8 = 0x88;
/// First byte of a ping frame.
pub const PING: u8 = 0x89;
/// First byte of a pong frame.
pub const PONG: u8 = 0x8a;

/// The maximum size of the head of an HTTP answer, in bytes.
const HEAD: usize = 4 * 1024;

/// Builds a client's frame. The mask is zero, which is allowed and leaves the payload unchanged.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, 0x80, payload.len());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Builds a server's frame.
pub fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, 0, payload.len());
    frame.extend(payload);
    frame
}

fn head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    match u16::try_from(length) {
        Ok(short @ 0..=125) => vec![first, mask | short as u8],
        Ok(medium) => {
            let [high, low] = medium.to_be_bytes();
            vec![first, mask | 126, high, low]
        }
        Err(_) => {
            let mut head = vec![first, mask | 127];
            head.extend((length as u64).to_be_bytes());
            head
        }
    }
}

/// Calls `each` with the first byte and the payload of every complete frame in `bytes`. Returns the
/// number of bytes of the frames. A mask is assumed to be zero.
pub fn frames(bytes: &[u8], mut each: impl FnMut(u8, &[u8])) -> usize {
    let mut at = 0;
    while let Some((head, length)) = measure(&bytes[at..]) {
        let Some(payload) = bytes.get(at + head..at + head + length) else {
            break;
        };
        each(bytes[at], payload);
        at += head + length;
    }
    at
}

/// The lengths of the head and the payload of the first frame. `None` if the head is incomplete.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = *bytes.get(1)?;
    let (head, length) = match second & 0x7f {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        127 => {
            let length = bytes.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(length)).ok()?)
        }
        short => (2, usize::from(short)),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    Some((head + mask, length))
}

/// Opens a connection of a client and upgrades it. `receive_buffer` is the size of the receive buffer in
/// bytes.
pub async fn open(
    port: u16,
    caller: &Caller,
    receive_buffer: Option<u32>,
) -> io::Result<TcpStream> {
    let mut stream = caller.connect(port, receive_buffer).await?;
    let authorization = caller.authorization();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         {authorization}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        // The server sends nothing more before the client's first frame, so the read stops at the end
        // of the head.
        if head.len() > HEAD || stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::other("the upgrade was broken off"));
        }
    }
    match head.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(stream),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&head).into_owned(),
        )),
    }
}
