//! An address that stays while the server behind it changes.

use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    select,
    sync::watch,
    task::JoinHandle,
};

/// Where connections through the address go.
#[derive(Clone, Copy)]
struct Route {
    port: u16,
    /// A number that rises with each move. Connections of an earlier generation end, or stay silent.
    generation: u64,
    /// Whether connections of the present and of earlier generations stay open without a word.
    silent: bool,
}

/// An address on loopback that moves from server to server.
pub(super) struct Address {
    pub(super) local: SocketAddr,
    route: watch::Sender<Route>,
    accepting: JoinHandle<()>,
}

impl Address {
    pub(super) async fn new(port: u16) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(|e| format!("no port is free: {e}"))?;
        let local = listener.local_addr().map_err(|e| e.to_string())?;
        let (route, watching) = watch::channel(Route {
            port,
            generation: 0,
            silent: false,
        });
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, watching.clone()));
            }
        });
        Ok(Self {
            local,
            route,
            accepting,
        })
    }

    /// Stops forwarding bytes. Open connections stay open.
    pub(super) fn silence(&self) {
        self.route.send_modify(|route| route.silent = true);
    }

    /// Forwards new connections to this port. Connections to another port end, unless they are silent.
    pub(super) fn move_to(&self, port: u16) {
        self.route.send_modify(|route| {
            *route = Route {
                port,
                generation: route.generation + 1,
                silent: false,
            };
        });
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut client: TcpStream, mut route: watch::Receiver<Route>) {
    let begun = *route.borrow_and_update();
    let carrying = async {
        if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, begun.port)).await {
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    };
    let changed = route.wait_for(|route| route.silent || route.generation != begun.generation);
    let silent = select! {
        // A silence must be noticed before the end of the server behind the address.
        biased;
        changed = changed => changed.is_ok_and(|route| route.silent),
        () = carrying => false,
    };
    if silent {
        // Holds the connection until the address itself is dropped.
        let _ = route.wait_for(|_| false).await;
    }
}
