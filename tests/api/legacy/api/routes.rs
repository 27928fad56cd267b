//! The original's routes, table by table, on the sample data.

use super::start;
use serde_json::{Value, json};

#[tokio::test]
async fn the_routes_of_users_work() {
    let (server, _folder) = start().await;
    let client = server.client();
    let users = client.get("/user").await.expect(200);
    let names: Vec<&Value> = (0..3).map(|n| &users[n]["username"]).collect();
    assert_eq!(names, ["carl", "sigmund", "gustav"]);
    assert_eq!(client.get("/user/1").await.expect(200), users[0]);
    assert_eq!(
        client.get("/user/username/gustav").await.expect(200),
        users[2]
    );
    let members = client.get("/user/chat/1").await.expect(200);
    let ids: Vec<&Value> = (0..2).map(|n| &members[n]["customerId"]).collect();
    assert_eq!(ids, [1, 2]);

    let body = json!({ "username": "anna", "password": "secret" });
    let anna = client.post("/user", body).await.expect(201);
    assert_eq!(
        (&anna["customerId"], &anna["username"]),
        (&json!(4), &json!("anna"))
    );
    let body = json!({ "username": "anna-maria", "password": "secret" });
    let renamed = client.put("/user/4", body).await.expect(200);
    assert_eq!(renamed["username"], "anna-maria");
    client.delete("/user/4").await.expect(204);
    client
        .get("/user/4")
        .await
        .expect_error(404, "user_not_found");
}

#[tokio::test]
async fn the_routes_of_chats_work() {
    let (server, _folder) = start().await;
    let client = server.client();
    let chats = client.get("/chat").await.expect(200);
    let names: Vec<&Value> = (0..2).map(|n| &chats[n]["chatName"]).collect();
    assert_eq!(names, ["general", "random"]);
    assert_eq!(client.get("/chat/2").await.expect(200), chats[1]);

    for (key, id) in [("chatName", 3), ("chat_name", 4)] {
        let chat = client.post("/chat", json!({ key: "music" })).await;
        let chat = chat.expect(201);
        assert_eq!(
            (&chat["chatId"], &chat["chatName"]),
            (&json!(id), &json!("music"))
        );
    }
    let body = json!({ "chatName": "chamber music" });
    let renamed = client.put("/chat/3", body).await.expect(200);
    assert_eq!(renamed["chatName"], "chamber music");
    client.delete("/chat/3").await.expect(204);
    client
        .get("/chat/3")
        .await
        .expect_error(404, "chat_not_found");
}

#[tokio::test]
async fn the_routes_of_memberships_work() {
    let (server, _folder) = start().await;
    let client = server.client();
    let access = "/chat/user/3/chat/1/access";
    let membership = "/chat/user/3?chat_id=1";
    assert_eq!(
        client.get(access).await.expect(200),
        json!({ "hasAccess": false })
    );
    let member = client.get(membership).await.expect(201);
    assert_eq!(
        (&member["customerId"], &member["chatId"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(
        client.get(access).await.expect(200),
        json!({ "hasAccess": true })
    );
    client.get(membership).await.expect(200);
    client.delete(membership).await.expect(204);
    assert_eq!(
        client.get(access).await.expect(200),
        json!({ "hasAccess": false })
    );
}

#[tokio::test]
async fn the_websocket_route_asks_a_plain_request_to_upgrade() {
    let (server, _folder) = start().await;
    let reply = server.client().get("/ws").await;
    assert_eq!(reply.status, 426);
}
