//! The identity of a client: its address and its session.

use std::{io, net::Ipv4Addr};
use tokio::net::{TcpSocket, TcpStream};

/// A client's loopback address and token. The server limits rates by address and by user.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The address that its connections come from.
    pub address: Ipv4Addr,
    /// The token of its requests, if any.
    pub token: Option<String>,
}

impl Caller {
    /// A client at 127.0.0.1 without a token.
    pub const LOCAL: Self = Self {
        address: Ipv4Addr::LOCALHOST,
        token: None,
    };

    /// Opens a connection. `receive_buffer` is the size of the receive buffer in bytes.
    pub async fn connect(&self, port: u16, receive_buffer: Option<u32>) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(receive_buffer) = receive_buffer {
            socket.set_recv_buffer_size(receive_buffer)?;
        }
        if self.address != Ipv4Addr::LOCALHOST {
            socket.bind((self.address, 0).into())?;
        }
        let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The header with the token, as a line of a request. Empty without a token.
    pub fn authorization(&self) -> String {
        let token = self.token.as_ref();
        token.map_or_else(String::new, |token| {
            format!("Authorization: Bearer {token}\r\n")
        })
    }
}
