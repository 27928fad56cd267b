//! Messages that are read many at a time: as many as are wanted, and no more bytes than whoever asked
//! may hold. A message has up to 16 KiB of text, so that a number of them alone bounds nothing.

use crate::model::Message;
use futures_util::TryStreamExt;
use sqlx::Result;

/// How much is read at once.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Messages.
    pub rows: i64,
    /// Bytes of their text. One message is always read, however long.
    pub bytes: usize,
}

/// What was read.
#[derive(Debug)]
pub struct Portion {
    /// The messages.
    pub rows: Vec<Message>,
    /// Whether there were more, whose text was too much.
    pub cut: bool,
}

impl Portion {
    /// Takes messages as they come, and stops where they are too many bytes: what follows is never
    /// held.
    pub(super) async fn read<S>(mut messages: S, bytes: usize) -> Result<Self>
    where
        S: TryStreamExt<Ok = Message, Error = sqlx::Error> + Unpin,
    {
        let (mut rows, mut held) = (Vec::new(), 0);
        while let Some(message) = messages.try_next().await? {
            held += message.size();
            if held > bytes && !rows.is_empty() {
                return Ok(Self { rows, cut: true });
            }
            rows.push(message);
        }
        Ok(Self { rows, cut: false })
    }
}
