//! A WebSocket client.

use super::{asyncapi::Watch, patiently};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

/// A socket to one server.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Checks the frames against the document.
    watch: Watch,
}

impl Socket {
    /// Opens one.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_at(address, "/ws").await
    }

    /// Opens one by this path and query.
    pub async fn open_at(address: SocketAddr, path: &str) -> Self {
        let url = format!("ws://{address}{path}");
        let (stream, _) = patiently("a socket", connect_async(url))
            .await
            .expect("a socket");
        let watch = Watch::default();
        Self { stream, watch }
    }

    /// Opens one; none if the server does not answer.
    pub async fn try_open(address: SocketAddr) -> Option<Self> {
        let url = format!("ws://{address}/ws");
        let opened = patiently("a socket, or none", connect_async(url)).await;
        let watch = Watch::default();
        opened.ok().map(|(stream, _)| Self { stream, watch })
    }

    /// Opens one with these headers; the status if the server refuses.
    pub async fn open_with(
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/ws")
            .into_client_request()
            .expect("a request");
        for (name, value) in headers {
            let value = value.parse().expect("a header");
            request.headers_mut().insert(*name, value);
        }
        match patiently("a socket", connect_async(request)).await {
            Ok((stream, _)) => Ok(Self {
                stream,
                watch: Watch::default(),
            }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    /// Sends a text as it is.
    pub async fn send_text(&mut self, text: &str) {
        self.watch.sent(text);
        self.send_raw(Message::text(text)).await;
    }

    /// Sends any WebSocket message.
    pub async fn send_raw(&mut self, message: Message) {
        self.stream.send(message).await.expect("an open socket");
    }

    /// Sends a frame on a socket that may be closing; false if it is closed.
    pub async fn try_send(&mut self, frame: Value) -> bool {
        let text = frame.to_string();
        self.watch.sent(&text);
        self.stream.send(Message::text(text)).await.is_ok()
    }

    /// The next WebSocket message of any kind; none at the end.
    pub async fn next_raw(&mut self) -> Option<Message> {
        match patiently("a frame", self.stream.next()).await {
            Some(Ok(message)) => {
                if let Message::Text(text) = &message {
                    self.watch.received(text);
                }
                Some(message)
            }
            Some(Err(_)) | None => None,
        }
    }

    /// The next text frame.
    pub async fn next(&mut self) -> Value {
        loop {
            match self.next_raw().await {
                Some(Message::Text(text)) => {
                    return serde_json::from_str(&text).expect("a frame of JSON");
                }
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("a text frame was expected, {other:?} came"),
            }
        }
    }

    /// The next frame, which must be of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// The next frame of this type, passing over others.
    pub async fn until(&mut self, kind: &str) -> Value {
        // Heartbeats may go on for ever, so the whole is waited for, not each frame.
        let searching = async {
            loop {
                let frame = self.next().await;
                if frame["type"] == kind {
                    return frame;
                }
            }
        };
        patiently(kind, searching).await
    }

    /// The next frame, which must be an error of this code.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let frame = self.expect("error").await;
        assert_eq!(frame["content"]["code"], code, "{frame}");
        let sentence = frame["content"]["error"].as_str().unwrap_or_default();
        assert!(
            sentence.len() > 10,
            "an error says what would be right: {frame}"
        );
        frame
    }

    /// Sends a frame with an id and gives the content of its ack, passing over broadcasts.
    pub async fn ask(&mut self, kind: &str, content: Value) -> Value {
        let id = uuid::Uuid::new_v4().to_string();
        self.send(json!({ "type": kind, "id": id, "content": content }))
            .await;
        let searching = async {
            loop {
                let frame = self.next().await;
                if frame["id"] == id {
                    assert_eq!(frame["type"], "ack", "{frame}");
                    return frame["content"].clone();
                }
            }
        };
        patiently("an ack", searching).await
    }

    /// Connects to a chat and waits for the ack; gives its content.
    pub async fn connect(&mut self, user: i64, chat: i64) -> Value {
        self.ask(
            "connect-chat",
            json!({ "customerId": user, "chatId": chat }),
        )
        .await
    }

    /// The code of the close frame that comes, passing over other frames; 1006 if the socket
    /// ends without one.
    pub async fn closed(&mut self) -> u16 {
        let draining = async {
            loop {
                match self.next_raw().await {
                    Some(Message::Close(Some(close))) => return close.code.into(),
                    Some(Message::Close(None)) => return 1005,
                    Some(_) => {}
                    None => return 1006,
                }
            }
        };
        patiently("the end of a socket", draining).await
    }

    /// Closes the socket and waits for the server's close frame.
    pub async fn close(mut self) {
        let _ = self.stream.close(None).await;
        while self.next_raw().await.is_some() {}
    }
}
