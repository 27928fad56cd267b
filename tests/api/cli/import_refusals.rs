//! Archives that an import refuses, with nothing left behind.

use super::{sample_data::SampleData, serve};
use sha2::{Digest, Sha256};
use testkit::{Database, Process, Store, apply, both_stores, rstest};

/// An archive of a sample, line by line.
async fn archive(database: &Database) -> Vec<String> {
    let server = serve(database, &[]).await;
    SampleData::create(&server).await;
    server.stop().await;
    let text = String::from_utf8(database.export().await).expect("UTF-8");
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// The archive with the SHA-256 of its lines in the last of them.
fn with_its_sum(archive: &str) -> String {
    let begin = archive.find("{\"kind\":\"end\",").expect("a last line");
    let (lines, end) = archive.split_at(begin);
    let (counts, _) = end.split_once("\"sha256\":").expect("a sum");
    let sum = hex::encode(Sha256::digest(lines));
    format!("{lines}{counts}\"sha256\":\"{sum}\"}}\n")
}

#[apply(both_stores)]
async fn an_archive_that_is_not_whole_is_refused(store: Store) {
    let first = Database::new(store).await;
    let lines = archive(&first).await;
    let whole = lines.concat();
    let last = lines.len() - 1;
    let without = |n: usize| {
        let mut lines = lines.clone();
        lines.remove(n);
        lines.concat()
    };
    let in_a_line = &whole[..whole.len() - lines[last].len() - 20];
    let message = whole.find("\"kind\":\"message\"").expect("a message");
    let (before, from) = whole.split_at(message);
    let of_no_chat = before.to_owned() + &from.replacen("\"chatId\":1", "\"chatId\":99", 1);
    // On Postgres no key of a message refers to its chat: the count of all rows finds the message.
    let no_chat = match store {
        Store::Sqlite => "the database refuses lines",
        Store::Postgres => "8 messages, 2 sessions, but the database stored",
    };
    let copy = Database::new(store).await;
    for (broken, words) in [
        (
            String::new(),
            "not an archive that messaging-api export wrote",
        ),
        (
            "# Notes\n".repeat(1000),
            "not an archive that messaging-api export wrote",
        ),
        (without(0), "not an archive that messaging-api export wrote"),
        (lines[0].replace('2', "3"), "version 3"),
        (lines[0].clone(), "cut off"),
        (in_a_line.to_owned(), "cut off"),
        (whole[..whole.len() - 1].to_owned(), "cut off"),
        (without(last), "cut off"),
        (without(last - 1), "missing or repeated"),
        (format!("{whole}{}", lines[1]), "data after its last line"),
        (whole.replacen("an answer", "an ANSWER", 1), "was changed"),
        (whole.replacen("\"role\"", "\"rule\"", 1), "is broken"),
        (
            whole.replacen("\"kind\":\"chat\"", "\"kind\":\"chart\"", 1),
            "is broken",
        ),
        (
            whole.replacen("\"chatId\":1", "\"chatId\":99", 1),
            "not in the order of kinds and ids",
        ),
        (with_its_sum(&of_no_chat), no_chat),
    ] {
        let refused = copy.import(broken.as_bytes()).await;
        refused.expect_failure(&["nothing was imported", words]);
    }
    // After all that it is as empty as before.
    copy.import(whole.as_bytes()).await.expect_success();
    assert_eq!(copy.export().await, whole.into_bytes());
}

#[apply(both_stores)]
async fn a_database_that_holds_something_is_left_alone(store: Store) {
    let first = Database::new(store).await;
    let whole = archive(&first).await.concat();
    for alone in ["user", "chat"] {
        let database = Database::new(store).await;
        let server: Process = serve(&database, &[]).await;
        match alone {
            "user" => server.client().new_user("mine").await,
            _ => server.client().new_chat("mine").await,
        };
        server.stop().await;
        let before = database.export().await;
        let refused = database.import(whole.as_bytes()).await;
        refused.expect_failure(&["nothing was imported", "already holds users or chats"]);
        assert_eq!(database.export().await, before);
    }
    // Its own archive neither: nothing is doubled.
    let again = first.import(whole.as_bytes()).await;
    again.expect_failure(&["already holds users or chats"]);
    assert_eq!(first.export().await, whole.into_bytes());
}
