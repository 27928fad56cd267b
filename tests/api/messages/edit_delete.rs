//! A message after it was sent: edited, deleted, its author renamed.

use super::send::World;
use serde_json::{Value, json};
use testkit::{Store, apply, assert_now, both_stores, rstest};

#[apply(both_stores)]
async fn an_edit_keeps_everything_but_the_content(store: Store) {
    let world = World::new(store).await;
    let (sent, path) = world.message().await;
    let body = json!({ "content": "Hello world!", "customerId": world.carl });
    let edited = world.client.put(&path, body).await.expect(200);
    assert_now(&edited["editedAt"]);
    let mut expected = sent.clone();
    expected["content"] = json!("Hello world!");
    expected["seq"] = json!(2);
    expected["editedAt"] = edited["editedAt"].clone();
    assert_eq!(edited, expected);
    assert_eq!(world.client.get(&path).await.expect(200), expected);
}

#[apply(both_stores)]
async fn only_its_author_edits_a_message(store: Store) {
    let world = World::new(store).await;
    let (sent, path) = world.message().await;
    let admin = json!({ "role": "admin" });
    let promote = format!("/chat/{}/user/{}", world.chat, world.sigmund);
    world.client.put(&promote, admin).await.expect(201);
    let body = json!({ "content": "Bye.", "customerId": world.sigmund });
    world
        .client
        .put(&path, body)
        .await
        .expect_error(403, "forbidden");
    assert_eq!(world.client.get(&path).await.expect(200), sent);
    // If the body has no `customerId`, the author is assumed.
    let body = json!({ "content": "Bye." });
    assert_eq!(
        world.client.put(&path, body).await.expect(200)["content"],
        "Bye."
    );
}

#[apply(both_stores)]
async fn a_deleted_message_stays_as_a_tombstone(store: Store) {
    let world = World::new(store).await;
    let (sent, path) = world.message().await;
    world.client.delete(&path).await.expect(204);
    let tombstone = world.client.get(&path).await.expect(200);
    assert_now(&tombstone["deletedAt"]);
    let mut expected = sent.clone();
    expected["content"] = Value::Null;
    expected["seq"] = json!(2);
    expected["deletedAt"] = tombstone["deletedAt"].clone();
    assert_eq!(tombstone, expected);
    let list = world
        .client
        .list(&format!("/chat/{}/message", world.chat))
        .await;
    assert_eq!(list, [expected]);
}

#[apply(both_stores)]
async fn its_author_and_an_admin_of_the_chat_delete_a_message(store: Store) {
    let world = World::new(store).await;
    let (sent, path) = world.message().await;
    let by_sigmund = format!("{path}?customerId={}", world.sigmund);
    let membership = format!("/chat/{}/user/{}", world.chat, world.sigmund);
    world.client.put(&membership, json!({})).await.expect(201);
    world
        .client
        .delete(&by_sigmund)
        .await
        .expect_error(403, "forbidden");
    assert_eq!(world.client.get(&path).await.expect(200), sent);
    world
        .client
        .put(&membership, json!({ "role": "admin" }))
        .await
        .expect(200);
    world.client.delete(&by_sigmund).await.expect(204);

    let (_, path) = world.message().await;
    let by_carl = format!("{path}?customerId={}", world.carl);
    world.client.delete(&by_carl).await.expect(204);
}

#[apply(both_stores)]
async fn a_deleted_message_is_neither_edited_nor_deleted_again(store: Store) {
    let world = World::new(store).await;
    let (_, path) = world.message().await;
    world.client.delete(&path).await.expect(204);
    let tombstone = world.client.get(&path).await.expect(200);
    world
        .client
        .delete(&path)
        .await
        .expect_error(404, "message_not_found");
    let edit = world.client.put(&path, json!({ "content": "Back." })).await;
    edit.expect_error(404, "message_not_found");
    assert_eq!(world.client.get(&path).await.expect(200), tombstone);
}

#[apply(both_stores)]
async fn messages_carry_their_authors_present_name(store: Store) {
    let world = World::new(store).await;
    let (_, path) = world.message().await;
    let rename = json!({ "username": "karl" });
    world
        .client
        .put(&format!("/user/{}", world.carl), rename)
        .await
        .expect(200);
    assert_eq!(
        world.client.get(&path).await.expect(200)["username"],
        "karl"
    );
    let (next, _) = world.message().await;
    assert_eq!(next["username"], "karl");
}
