//! A role that changes on one node counts on the others with the next request.

use serde_json::json;
use testkit::{Server, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_role_that_changes_on_one_node_counts_on_another() {
    let here = Server::start_required(Store::Postgres).await;
    let there = here.beside(&["--auth=required"]).await;
    let (carl, sigmund) = (here.person("carl").await, here.person("sigmund").await);
    let chat = carl.chat("general").await;
    carl.add(chat, &sigmund, "participant").await;
    let elsewhere = there.client().with_token(&sigmund.token);
    let mut socket = sigmund.enter(&there, chat).await;
    for round in 0..3 {
        let (by_rest, by_socket) = (carl.say(chat, "one").await, carl.say(chat, "two").await);
        let path = format!("/message/{by_rest}");
        let delete = json!({ "messageId": by_socket });
        let refused = elsewhere.delete(&path).await;
        refused.expect_error(403, "forbidden");
        socket
            .refused("delete-message", delete.clone(), "forbidden")
            .await;
        carl.add(chat, &sigmund, "admin").await;
        elsewhere.delete(&path).await.expect(204);
        let deleted = socket.ask("delete-message", delete).await;
        assert_eq!(deleted["messageId"], by_socket, "round {round}");
        carl.add(chat, &sigmund, "participant").await;
    }
    here.stop().await;
    there.stop().await;
}
