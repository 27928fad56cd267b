//! HTTP, byte by byte, on a TCP connection.

use super::patiently;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
};

/// A new connection.
pub struct RawHttp {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as JSON; null if it was empty or not JSON.
    pub body: Value,
}

impl Answer {
    /// A header; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// The status and the error's code.
    pub fn error(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

impl RawHttp {
    /// Opens one.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_from(Ipv4Addr::LOCALHOST, address).await
    }

    /// Opens one from this address of the machine.
    pub async fn open_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("a source address");
        let stream = patiently("a connection", socket.connect(address));
        Self {
            stream: BufReader::new(stream.await.expect("a connection")),
        }
    }

    /// Writes all bytes; false if the connection is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        let writing = self.stream.get_mut().write_all(bytes);
        patiently("room to write", writing).await.is_ok()
    }

    /// Shuts the sending side down.
    pub async fn finish(&mut self) {
        let _ = self.stream.get_mut().shutdown().await;
    }

    /// Sends a request without a body; gives the answer.
    pub async fn ask(&mut self, line: &str, headers: &str) -> Option<Answer> {
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        self.write(request.as_bytes()).await;
        self.answer().await
    }

    /// The next answer; none if the connection ends first.
    pub async fn answer(&mut self) -> Option<Answer> {
        patiently("an answer", self.read_answer()).await
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let first = self.line().await?;
        let status = first.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Value::Null,
        };
        let mut body = vec![0; answer.header("content-length").parse().unwrap_or(0)];
        self.stream.read_exact(&mut body).await.ok()?;
        answer.body = serde_json::from_slice(&body).unwrap_or_default();
        Some(answer)
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line).await.ok()?;
        (length > 0).then(|| line.trim_end().to_owned())
    }

    /// Waits for the end of the connection; nothing may come before it.
    pub async fn ended(&mut self) {
        let mut rest = Vec::new();
        let _ = patiently("the end", self.stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }
}
