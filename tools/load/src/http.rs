//! The subset of HTTP that a load needs: requests on a keep-alive connection.

use super::caller::Caller;
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
    /// The header with the client's token.
    authorization: String,
    /// The bytes of the latest answer.
    answer: Vec<u8>,
    /// The body of the latest answer, if it came in chunks.
    body: Vec<u8>,
}

/// An answer with any status.
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// Returns true if the status is 20x.
    pub fn is_success(&self) -> bool {
        self.status / 10 == 20
    }
}

impl Http {
    /// Opens a connection of a client without a token.
    pub async fn open(port: u16) -> io::Result<Self> {
        Self::open_as(port, &Caller::LOCAL).await
    }

    /// Opens a connection of a client.
    pub async fn open_as(port: u16, caller: &Caller) -> io::Result<Self> {
        Ok(Self {
            stream: caller.connect(port, None).await?,
            authorization: caller.authorization(),
            answer: Vec::with_capacity(ANSWER),
            body: Vec::new(),
        })
    }

    /// Sends the next requests with the token of this client.
    pub fn sign_in(&mut self, caller: &Caller) {
        self.authorization = caller.authorization();
    }

    /// Sends a GET request and returns the answer.
    pub async fn ask(&mut self, path: &str) -> io::Result<Answer<'_>> {
        let authorization = &self.authorization;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n");
        self.exchange(&request).await
    }

    /// Sends a GET request and returns the body. A status other than 20x is an error.
    pub async fn get(&mut self, path: &str) -> io::Result<&[u8]> {
        self.ask(path).await.and_then(body)
    }

    /// Sends a request with a JSON body and returns the body. A status other than 20x is an error.
    pub async fn send(&mut self, method: &str, path: &str, json: &str) -> io::Result<&[u8]> {
        let (authorization, length) = (&self.authorization, json.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             {authorization}Content-Length: {length}\r\n\r\n{json}"
        );
        self.exchange(&request).await.and_then(body)
    }

    async fn exchange(&mut self, request: &str) -> io::Result<Answer<'_>> {
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        let (head, begin) = loop {
            if let Some(found) = head(&self.answer) {
                break found;
            }
            self.read().await?;
        };
        let status = head.status;
        let Some(length) = head.length else {
            self.read_chunks(begin).await?;
            let body = &self.body;
            return Ok(Answer { status, body });
        };
        while self.answer.len() < begin + length {
            self.read().await?;
        }
        let body = &self.answer[begin..begin + length];
        Ok(Answer { status, body })
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.answer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads a body in chunks that begins at this offset of the answer.
    async fn read_chunks(&mut self, mut at: usize) -> io::Result<()> {
        self.body.clear();
        loop {
            let Some((begin, end)) = chunk(&self.answer[at..]) else {
                self.read().await?;
                continue;
            };
            if begin == end {
                return Ok(());
            }
            self.body
                .extend_from_slice(&self.answer[at + begin..at + end]);
            at += end + LINE_END.len();
        }
    }
}

/// The end of a line.
const LINE_END: &[u8] = b"\r\n";

/// The head of an answer.
struct Head {
    status: u16,
    /// The length of the body. `None` if it comes in chunks.
    length: Option<usize>,
}

/// The head of an answer and the offset of its body. `None` while the head is incomplete.
fn head(answer: &[u8]) -> Option<(Head, usize)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&answer[..end]).ok()?.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut length = Some(0);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = None;
        }
    }
    Some((Head { status, length }, end + 4))
}

/// The begin and the end of the first chunk's bytes; equal for the last chunk. `None` while the chunk is
/// incomplete.
fn chunk(bytes: &[u8]) -> Option<(usize, usize)> {
    let line = bytes.windows(2).position(|two| two == LINE_END)?;
    let size = std::str::from_utf8(&bytes[..line]).ok()?;
    let begin = line + LINE_END.len();
    let end = begin + usize::from_str_radix(size, 16).ok()?;
    (bytes.len() >= end + LINE_END.len()).then_some((begin, end))
}

/// The body of an answer. A status other than 20x is an error.
fn body(answer: Answer<'_>) -> io::Result<&[u8]> {
    match answer.is_success() {
        true => Ok(answer.body),
        false => {
            let body = String::from_utf8_lossy(answer.body);
            Err(io::Error::other(format!("{}: {body}", answer.status)))
        }
    }
}
