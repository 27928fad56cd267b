//! The subset of HTTP that a load needs: requests on a keep-alive connection.

use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The initial capacity for an answer, in bytes.
const ANSWER: usize = 4 * 1024;

/// A keep-alive connection.
pub struct Http {
    stream: TcpStream,
    /// The bytes of the latest answer.
    answer: Vec<u8>,
}

impl Http {
    /// Opens a connection.
    pub async fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let answer = Vec::with_capacity(ANSWER);
        Ok(Self { stream, answer })
    }

    /// Sends a GET request and returns the body. A status other than 20x is an error.
    pub async fn get(&mut self, path: &str) -> io::Result<&[u8]> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.exchange(&request).await
    }

    /// Sends a request with a JSON body and returns the body. A status other than 20x is an error.
    pub async fn send(&mut self, method: &str, path: &str, json: &str) -> io::Result<&[u8]> {
        let length = json.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{json}"
        );
        self.exchange(&request).await
    }

    async fn exchange(&mut self, request: &str) -> io::Result<&[u8]> {
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        let body = loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(body) = whole(&self.answer) {
                break body;
            }
        };
        match self.answer.starts_with(b"HTTP/1.1 20") {
            true => Ok(&self.answer[body..]),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&self.answer).into_owned(),
            )),
        }
    }
}

/// The offset of the body. `None` while the answer is incomplete.
fn whole(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let lines = std::str::from_utf8(&answer[..head]).ok()?.lines();
    let length = lines
        .filter_map(|line| line.split_once(": "))
        .find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse().ok())?
        });
    let body = head + 4;
    (answer.len() >= body + length.unwrap_or(0_usize)).then_some(body)
}
