//! The name that presence shows after a user was renamed.

use serde_json::{Value, json};
use testkit::{Room, Store, apply, both_stores, rstest};

fn about(kind: &str, name: &str, room: &Room) -> Value {
    json!({ "type": kind, "content": name, "chatId": room.chat, "customerId": room.carl })
}

#[apply(both_stores)]
async fn presence_shows_the_present_name(store: Store) {
    let room = Room::open(store).await;
    let mut carl = room.enter(room.carl).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let renamed = json!({ "username": "karl" });
    let path = format!("/user/{}", room.carl);
    room.client.put(&path, renamed).await.expect(200);

    let typing = json!({ "type": "start-typing", "content": { "chatId": room.chat } });
    carl.send(typing).await;
    let frame = sigmund.until("start-typing").await;
    assert_eq!(frame, about("start-typing", "karl", &room));

    let mut second = room.server.socket().await;
    let ack = second.enter(room.sigmund, room.chat).await;
    let online = json!([
        { "customerId": room.carl, "username": "karl" },
        { "customerId": room.sigmund, "username": "sigmund" },
    ]);
    assert_eq!(ack["online"], online);

    carl.close().await;
    assert_eq!(sigmund.until("leave").await, about("leave", "karl", &room));
    room.close().await;
}

#[apply(both_stores)]
async fn a_name_that_the_client_chose_stays(store: Store) {
    let room = Room::open(store).await;
    let mut sigmund = room.enter(room.sigmund).await;
    let mut carl = room.server.socket().await;
    let content = json!({ "customerId": room.carl, "chatId": room.chat, "username": "The Count" });
    carl.send(json!({ "type": "connect-chat", "content": content }))
        .await;
    let join = sigmund.until("join").await;
    assert_eq!(join, about("join", "The Count", &room));
    let path = format!("/user/{}", room.carl);
    let renamed = json!({ "username": "karl" });
    room.client.put(&path, renamed).await.expect(200);
    carl.close().await;
    assert_eq!(
        sigmund.until("leave").await,
        about("leave", "The Count", &room)
    );
    room.close().await;
}
