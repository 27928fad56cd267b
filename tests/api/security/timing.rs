//! The time of a refusal tells a stranger nothing, because the server reads nothing for it.

use testkit::{Server, Store, apply, both_stores, rstest};

/// Whether a stranger hears that there is no such chat where reading itself must fail.
async fn refused_unread(store: Store, break_it: &str, broken: (u16, &str), paths: &[&str]) {
    let server = Server::start_required(store).await;
    let (carl, stranger) = (server.person("carl").await, server.person("otto").await);
    let chat = carl.chat("general").await;
    carl.say(chat, "secret").await;
    server.database.execute(break_it).await;
    for path in paths {
        let path = path.replace("{chat}", &chat.to_string());
        let refused = stranger.client.get(&path).await;
        refused.expect_error(404, "chat_not_found");
        // Who may read it finds that it is broken.
        let reply = carl.client.get(&path).await;
        reply.expect_error(broken.0, broken.1);
    }
}

#[apply(both_stores)]
async fn a_stranger_is_refused_before_messages_are_read(store: Store) {
    let paths = [
        "/chat/{chat}/message",
        "/chat/{chat}/message?since=0",
        "/chat/{chat}/message?before=999",
        "/chat/{chat}/message?q=secret&limit=1",
    ];
    let broken = match store {
        Store::Sqlite => (500, "internal"),
        // A table that is away may be in the middle of a restore.
        Store::Postgres => (503, "unavailable"),
    };
    let rename = "ALTER TABLE message RENAME TO hidden";
    refused_unread(store, rename, broken, &paths).await;
}

#[apply(both_stores)]
async fn a_stranger_is_refused_before_members_are_read(store: Store) {
    let rename = "ALTER TABLE customer RENAME COLUMN username TO hidden";
    refused_unread(store, rename, (500, "internal"), &["/user/chat/{chat}"]).await;
}
