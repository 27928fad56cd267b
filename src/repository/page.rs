//! Pages that end after a number of rows, or once their text is long enough.

use futures_util::TryStreamExt;
use sqlx::Result;

/// Maximum size of one page.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    /// Maximum number of rows.
    pub rows: i64,
    /// Maximum size of the texts, in bytes. The first row is always returned, even if it is longer.
    pub bytes: usize,
}

/// One page of rows with texts: messages, or the things of a log.
#[derive(Debug)]
pub struct TextPage<T> {
    /// Rows, in the order of the query.
    pub rows: Vec<T>,
    /// True if the byte limit cut the page, so that the query has more rows.
    pub is_truncated: bool,
}

impl<T> TextPage<T> {
    /// Collects rows from a stream up to a limit in bytes of text. `size` is the size of the texts of a row. The rest of
    /// the stream is not fetched into memory.
    pub(super) async fn read<S>(
        mut stream: S,
        bytes: usize,
        size: impl Fn(&T) -> usize,
    ) -> Result<Self>
    where
        S: TryStreamExt<Ok = T, Error = sqlx::Error> + Unpin,
    {
        let (mut rows, mut held) = (Vec::new(), 0);
        while let Some(row) = stream.try_next().await? {
            held += size(&row);
            if held > bytes && !rows.is_empty() {
                return Ok(Self {
                    rows,
                    is_truncated: true,
                });
            }
            rows.push(row);
        }
        Ok(Self {
            rows,
            is_truncated: false,
        })
    }
}
