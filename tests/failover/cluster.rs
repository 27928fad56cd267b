//! The two servers themselves.

use crate::standby::{Cluster, Loss};
use sqlx::{Connection, PgConnection};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_has_what_was_committed_and_the_lost_one_follows_it() {
    let mut cluster = Cluster::start().await.unwrap();
    let url = cluster.url();
    cluster.execute("CREATE TABLE t (n bigint)").await.unwrap();
    for (n, loss) in [Loss::Crash, Loss::Silence, Loss::Stop]
        .into_iter()
        .enumerate()
    {
        let mut through = PgConnection::connect(&url).await.unwrap();
        let insert = sqlx::query("INSERT INTO t VALUES (1)");
        insert.execute(&mut through).await.unwrap();
        cluster.fail_over(loss).await.unwrap();
        let mut through = PgConnection::connect(&url).await.unwrap();
        let count = sqlx::query_scalar("SELECT count(*) FROM t");
        let count: i64 = count.fetch_one(&mut through).await.unwrap();
        assert_eq!(count, i64::try_from(n).unwrap() + 1, "{loss:?}");
        cluster.rejoin().await.unwrap();
    }
}
