//! Servers with few connections to their database.

use serde_json::json;
use testkit::{Room, Store, apply, both_stores, number, rstest};

/// The writer keeps a connection between single messages. A small pool needs it for other requests.
#[apply(both_stores)]
async fn a_single_message_keeps_no_connection_from_others(store: Store) {
    for flag in ["--db-connections=2", "--db-connections=3"] {
        let room = Room::open_with(store, &[flag]).await;
        let mut carl = room.enter(room.carl).await;
        for n in ["1", "2"] {
            let content = json!({ "chatId": room.chat, "content": n, "clientMessageId": n });
            let sent = carl.ask("send-message", content.clone()).await;
            let again = carl.ask("send-message", content).await;
            assert_eq!(again["duplicate"], true, "{again}");
            let id = number(&sent, "messageId");
            let edit = json!({ "chatId": room.chat, "messageId": id, "content": "edited" });
            let edited = carl.ask("update-message", edit).await;
            assert_eq!(edited["content"], "edited", "{edited}");
            room.enter(room.sigmund).await;
        }
        room.close().await;
    }
}
