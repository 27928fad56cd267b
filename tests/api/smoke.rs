//! A first look: does it serve at all?

use serde_json::json;
use testkit::{Server, Store, apply, both_stores, rstest};

#[apply(both_stores)]
async fn a_message_reaches_everyone_in_the_chat(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, sigmund) = (
        client.new_user("carl").await,
        client.new_user("sigmund").await,
    );
    let chat = client.new_chat("general").await;
    let (mut a, mut b) = (server.socket().await, server.socket().await);
    a.connect(carl, chat).await;
    b.connect(sigmund, chat).await;
    let content = json!({ "chatId": chat, "content": "Hi world." });
    let ack = a.ask("send-message", content).await;
    let seen = b.until("send-message").await;
    assert_eq!(seen["content"], ack);
    // The first two numbers are those of the memberships.
    assert_eq!((&ack["seq"], &ack["username"]), (&json!(3), &json!("carl")));
    server.stop().await;
}
