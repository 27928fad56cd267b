//! Times that a database may hold and the API cannot say.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{Room, Store, apply, both_stores, rstest};

/// Stored values, and the times that the API shows for them.
fn times(store: Store) -> [(&'static str, &'static str); 4] {
    match store {
        Store::Postgres => [
            ("'infinity'", "9999-12-31T23:59:59.999Z"),
            ("'-infinity'", "0001-01-01T00:00:00.000Z"),
            ("'200000-01-01 00:00:00+00'", "9999-12-31T23:59:59.999Z"),
            ("'4713-01-01 00:00:00+00 BC'", "0001-01-01T00:00:00.000Z"),
        ],
        Store::Sqlite => [
            ("'infinity'", "1970-01-01T00:00:00.000Z"),
            ("x'00ff'", "1970-01-01T00:00:00.000Z"),
            ("9223372036854775807", "1970-01-01T00:00:00.000Z"),
            ("'+200000-01-01T00:00:00+00:00'", "9999-12-31T23:59:59.999Z"),
        ],
    }
}

/// A room with a message for each of the times, each edited once, and the same times everywhere else.
async fn room(store: Store) -> (Room, Vec<i64>) {
    let room = Room::of_members(store).await;
    room.enter(room.carl).await;
    let mut ids = Vec::new();
    for (time, _) in times(store) {
        let message = room.say("Hello.").await;
        let id = message["messageId"].as_i64().expect("an id");
        let sql = format!(
            "UPDATE message SET sent_at = {time}, edited_at = {time} WHERE message_id = {id}"
        );
        room.server.database.execute(sql).await;
        ids.push(id);
    }
    let [(time, _), ..] = times(store);
    for (table, column) in [
        ("customer", "created_at"),
        ("chat", "created_at"),
        ("customer_chat", "joined_at"),
    ] {
        let sql = format!("UPDATE {table} SET {column} = {time}");
        room.server.database.execute(sql).await;
    }
    (room, ids)
}

#[apply(both_stores)]
async fn times_out_of_range_are_shown_in_range_and_stop_nothing(store: Store) {
    let (room, ids) = room(store).await;
    let client = &room.client;
    let shown = times(store).map(|(_, shown)| json!(shown));
    let listed = client.list(&format!("/chat/{}/message", room.chat)).await;
    let sent_at: Vec<Value> = listed
        .iter()
        .map(|message| message["sentAt"].clone())
        .collect();
    assert_eq!(sent_at, shown);
    for path in [
        format!("/user/{}", room.carl),
        format!("/chat/{}", room.chat),
    ] {
        assert_eq!(client.get(&path).await.expect(200)["createdAt"], shown[0]);
    }
    let members = client.list(&format!("/user/chat/{}", room.chat)).await;
    assert_eq!(members[0]["joinedAt"], shown[0]);

    // Written to together with their neighbours: each change is stored.
    let (_socket, frames, ack) = room.resume(room.sigmund, 0).await;
    assert_eq!((frames.len(), &ack["seq"]), (4, &json!(4)));
    let editing = ids.iter().map(async |id| {
        let change = json!({ "content": "changed", "customerId": room.carl });
        client
            .put(&format!("/message/{id}"), change)
            .await
            .expect(200)
    });
    let sending = (0..20).map(async |_| room.say("Hello.").await);
    let (edited, sent) = tokio::join!(join_all(editing), join_all(sending));
    let edited: Vec<Value> = edited
        .iter()
        .map(|message| message["sentAt"].clone())
        .collect();
    assert_eq!(edited, shown);
    assert_eq!(sent.len(), 20);
    for id in ids {
        let path = format!("/message/{id}?customerId={}", room.carl);
        client.delete(&path).await.expect(204);
    }
    client.get("/health/ready").await.expect(200);
    room.close().await;
}

#[apply(both_stores)]
async fn an_archive_holds_times_in_range(store: Store) {
    let (room, _) = room(store).await;
    let database = room.server.stop().await;
    let archive = String::from_utf8(database.export().await).expect("UTF-8");
    let sent_at = archive.lines().filter_map(|line| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let time = row["sentAt"].as_str()?;
        Some(time[..19].to_owned())
    });
    let sent_at: Vec<String> = sent_at.collect();
    assert_eq!(
        sent_at,
        times(store).map(|(_, shown)| shown[..19].to_owned())
    );
}
