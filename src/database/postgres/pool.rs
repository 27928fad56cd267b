//! Wrappers of sqlx's pool, connection and transaction. They report the outcome of each statement to
//! `Trust`.

use super::health::{Trust, Watch};
use futures_util::{Stream, future::BoxFuture, stream::BoxStream};
use sqlx::{
    Either, Error, Execute, Executor, PgConnection, PgPool, PgTransaction, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use std::{
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// One item of the result stream of a statement: a row, or the summary of the statement.
type Step = Result<Either<PgQueryResult, PgRow>, Error>;

/// A pool of connections to Postgres. If one connection fails in a way that suggests a lost database
/// server, all existing connections are replaced before their next use.
#[derive(Clone)]
pub struct PostgresPool {
    pub(super) inner: PgPool,
    pub(super) trust: Arc<Trust>,
}

/// A pooled connection or a transaction on it, with a watch on each statement.
pub struct Watched<C> {
    /// True if each statement writes and commits by itself, so that its success proves that the database
    /// takes writes. False for transactions.
    pub(super) writes: bool,
    pub(super) inner: C,
    pub(super) trust: Arc<Trust>,
}

/// A pooled connection for statements that write and commit by themselves.
pub type PostgresConnection = Watched<PoolConnection<Postgres>>;
/// A transaction on a pooled connection. Dropping it without a commit rolls it back.
pub type PostgresTransaction = Watched<PgTransaction<'static>>;

impl PostgresPool {
    /// Returns the number of connections that the pool opens at most.
    #[must_use]
    pub fn max_connections(&self) -> u32 {
        self.inner.options().get_max_connections()
    }

    /// Takes a connection from the pool, for statements that write and commit by themselves.
    ///
    /// # Errors
    /// The error of the pool. Nothing was executed.
    pub async fn acquire(&self) -> Result<PostgresConnection, Error> {
        let watch = self.trust.watch(false);
        let inner = self.inner.acquire().await;
        watch.settle(&inner);
        Ok(Watched {
            writes: true,
            inner: inner?,
            trust: self.trust.clone(),
        })
    }
}

impl PostgresTransaction {
    /// Commits the transaction.
    ///
    /// # Errors
    /// The error of Postgres. After a lost connection the commit is in doubt.
    pub async fn commit(self) -> Result<(), Error> {
        let watch = self.trust.watch(true);
        let committed = self.inner.commit().await;
        watch.settle(&committed);
        committed
    }
}

/// The result stream of a statement. Its end or error ends the watch.
struct Results<'e> {
    steps: BoxStream<'e, Step>,
    watch: Watch,
}

impl Stream for Results<'_> {
    type Item = Step;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        let step = ready!(self.steps.as_mut().poll_next(cx));
        match &step {
            Some(Ok(_)) => {}
            Some(Err(error)) => self.watch.fail(error),
            None => self.watch.end(),
        }
        Poll::Ready(step)
    }
}

/// Implements the methods of `Executor` for a type with a field `trust`, by delegation to `$inner`.
macro_rules! watched_executor {
    ($c:lifetime, $self:ident, $writes:expr, $inner:expr) => {
        type Database = Postgres;

        fn fetch_many<'e, 'q: 'e, E>($self, query: E) -> BoxStream<'e, Step>
        where
            $c: 'e,
            E: 'q + Execute<'q, Postgres>,
        {
            let watch = $self.trust.watch($writes);
            let steps = $inner.fetch_many(query);
            Box::pin(Results { steps, watch })
        }

        fn fetch_optional<'e, 'q: 'e, E>(
            $self,
            query: E,
        ) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
        where
            $c: 'e,
            E: 'q + Execute<'q, Postgres>,
        {
            let watch = $self.trust.watch($writes);
            let row = $inner.fetch_optional(query);
            Box::pin(async move {
                let row = row.await;
                watch.settle(&row);
                row
            })
        }

        fn prepare_with<'e>(
            $self,
            sql: SqlStr,
            parameters: &'e [PgTypeInfo],
        ) -> BoxFuture<'e, Result<PgStatement, Error>>
        where
            $c: 'e,
        {
            let watch = $self.trust.watch($writes);
            let statement = $inner.prepare_with(sql, parameters);
            Box::pin(async move {
                let statement = statement.await;
                watch.settle(&statement);
                statement
            })
        }
    };
}

impl<'p> Executor<'p> for &'p PostgresPool {
    watched_executor!('p, self, false, (&self.inner));
}

impl<'c, C> Executor<'c> for &'c mut Watched<C>
where
    C: DerefMut<Target = PgConnection> + Send,
{
    watched_executor!('c, self, self.writes, (&mut *self.inner));
}

/// Gives access to the bare connection. Errors of its statements are not reported to `Trust`.
impl<C: Deref<Target = PgConnection>> Deref for Watched<C> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl<C: DerefMut<Target = PgConnection>> DerefMut for Watched<C> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

impl fmt::Debug for PostgresPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresPool").finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Watched<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}
