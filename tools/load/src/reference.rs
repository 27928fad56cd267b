//! The reference server, which only forwards: it writes every text of a socket to every socket, with
//! one write per frame and receiver. It has no chats, parses nothing, stores nothing and runs on one
//! thread. Its figures are the cost without the real server's work.

use super::websocket::{TEXT, frames, plain};
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::spawn_local,
};

/// The initial capacity of a socket's read buffer, in bytes.
const READ_BUFFER: usize = 16 * 1024;
/// The answer to every upgrade. The load's clients do not check the key.
const UPGRADED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A socket that receives all frames.
struct Member {
    id: u64,
    writer: OwnedWriteHalf,
}

type Members = Rc<RefCell<Vec<Rc<Member>>>>;

/// Serves until the process is killed.
pub async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let members = Members::default();
    let ids = Rc::new(Cell::new(0));
    loop {
        let (stream, _) = listener.accept().await?;
        let (members, ids) = (Rc::clone(&members), Rc::clone(&ids));
        spawn_local(async move {
            let id = ids.replace(ids.get() + 1);
            let _ = member(stream, id, &members).await;
            members.borrow_mut().retain(|member| member.id != id);
        });
    }
}

async fn member(mut stream: TcpStream, id: u64, members: &Members) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(UPGRADED).await?;
    let (reader, writer) = stream.into_split();
    members.borrow_mut().push(Rc::new(Member { id, writer }));
    pass_on(reader, members).await
}

async fn pass_on(mut reader: OwnedReadHalf, members: &Members) -> io::Result<()> {
    let mut waiting = Vec::with_capacity(READ_BUFFER);
    while reader.read_buf(&mut waiting).await? > 0 {
        let mut ready = Vec::new();
        let used = frames(&waiting, |first, payload| {
            if first == TEXT {
                ready.push(plain(TEXT, payload));
            }
        });
        waiting.drain(..used);
        for frame in ready {
            // The list of members can change only while a write waits.
            let receivers = members.borrow().len();
            for at in 0..receivers {
                let member = members.borrow().get(at).map(Rc::clone);
                if let Some(member) = member {
                    write(&member.writer, &frame).await;
                }
            }
        }
    }
    Ok(())
}

/// Writes a whole frame. A closed socket gets nothing.
async fn write(writer: &OwnedWriteHalf, mut frame: &[u8]) {
    while !frame.is_empty() {
        match writer.try_write(frame) {
            Ok(written) => frame = &frame[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if writer.writable().await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
