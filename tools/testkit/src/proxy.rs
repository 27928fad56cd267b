//! A TCP proxy on loopback with faults on demand. It stops one direction or both, as a network that
//! loses packets does, or it cuts all connections and refuses new ones.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    select,
    sync::watch,
    task::JoinHandle,
};

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server behind the proxy.
    There,
    /// From the server to the client.
    Back,
}

/// The state of the proxy.
#[derive(Clone, Copy)]
struct Gates {
    there: bool,
    back: bool,
    /// Whether connections are accepted and stay open.
    open: bool,
}

/// A proxy before one server. Dropping it cuts everything.
pub struct Proxy {
    /// The address.
    pub address: SocketAddr,
    gates: watch::Sender<Gates>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts one before the server on this port of loopback, without faults.
    pub async fn to(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (gates, watching) = watch::channel(Gates {
            there: true,
            back: true,
            open: true,
        });
        let accepting = tokio::spawn(accept(listener, port, watching));
        Ok(Self {
            address,
            gates,
            accepting,
        })
    }

    /// Stops one direction. Connections stay open.
    pub fn stall(&self, way: Way) {
        self.gates.send_modify(|gates| match way {
            Way::There => gates.there = false,
            Way::Back => gates.back = false,
        });
    }

    /// Cuts every connection and refuses new ones.
    pub fn cut(&self) {
        self.gates.send_modify(|gates| gates.open = false);
    }

    /// Ends all faults. Bytes that were held back go first.
    pub fn mend(&self) {
        self.gates.send_modify(|gates| {
            *gates = Gates {
                there: true,
                back: true,
                open: true,
            };
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, gates: watch::Receiver<Gates>) {
    while let Ok((client, _)) = listener.accept().await {
        if gates.borrow().open {
            tokio::spawn(carry(client, port, gates.clone()));
        }
    }
}

async fn carry(client: TcpStream, port: u16, gates: watch::Receiver<Gates>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    // Small packets go at once, so that the proxy adds no delay of its own.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let mut cut = gates.clone();
    select! {
        () = pass(from_client, to_server, gates.clone(), |gates| gates.there) => {}
        () = pass(from_server, to_client, gates, |gates| gates.back) => {}
        _ = cut.wait_for(|gates| !gates.open) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut gates: watch::Receiver<Gates>,
    is_open: fn(&Gates) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let opened = gates.wait_for(is_open).await.is_ok();
        if !opened || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
