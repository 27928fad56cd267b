//! The pages of a user's chat list, while chats are deleted, left and written to, and the unread counts.

use serde_json::{Value, json};
use testkit::{Client, Reply, Server, Store, apply, both_stores, number, rstest};

/// A server, a user, and chats of the user. Each chat but the first has a message.
async fn world(store: Store, chats: usize) -> (Server, Client, i64, Vec<i64>) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let mut ids = Vec::new();
    for n in 0..chats {
        let chat = client.new_chat(&format!("room {n}")).await;
        let member = format!("/chat/{chat}/user/{carl}");
        client.put(&member, json!({})).await.expect(201);
        if n > 0 {
            client.say(carl, chat, "hello").await;
        }
        ids.push(chat);
    }
    (server, client, carl, ids)
}

/// Returns the path of the next page, or `None` if this page is the last.
fn next(reply: &Reply) -> Option<String> {
    let link = reply.headers.get("link")?.to_str().expect("a text");
    let path = link.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let (path, relation) = path.expect("a link");
    assert_eq!(relation, "; rel=\"next\"");
    Some(path.to_owned())
}

fn chats(page: &Value) -> Vec<i64> {
    let rows = page.as_array().expect("a list");
    rows.iter().map(|row| number(row, "chatId")).collect()
}

/// Reads the first page, calls `event` with its chats, and reads the further pages. Returns the chats of
/// the first page and the chats of the further pages.
async fn pages_around(
    client: &Client,
    user: i64,
    limit: usize,
    event: impl AsyncFnOnce(&[i64]),
) -> (Vec<i64>, Vec<i64>) {
    let reply = client
        .get(&format!("/user/{user}/chat?limit={limit}"))
        .await;
    let mut link = next(&reply);
    let first = chats(&reply.expect(200));
    event(&first).await;
    let mut rest = Vec::new();
    while let Some(path) = link {
        let reply = client.get(&path).await;
        link = next(&reply);
        rest.extend(chats(&reply.expect(200)));
    }
    (first, rest)
}

#[apply(both_stores)]
async fn pages_go_on_after_the_cursors_chat_is_deleted(store: Store) {
    let (_server, client, carl, ids) = world(store, 12).await;
    let (first, rest) = pages_around(&client, carl, 4, async |first| {
        for chat in first {
            client.delete(&format!("/chat/{chat}")).await.expect(204);
        }
    })
    .await;
    let newest: Vec<i64> = ids.iter().rev().copied().collect();
    assert_eq!((first, rest), (newest[..4].to_vec(), newest[4..].to_vec()));
}

#[apply(both_stores)]
async fn pages_go_on_after_the_cursors_chat_is_left(store: Store) {
    let (_server, client, carl, ids) = world(store, 5).await;
    let (_, rest) = pages_around(&client, carl, 2, async |first| {
        let path = format!("/chat/{}/user/{carl}", first[1]);
        client.delete(&path).await.expect(204);
    })
    .await;
    assert_eq!(rest, [ids[2], ids[1], ids[0]]);
}

#[apply(both_stores)]
async fn a_chat_that_becomes_active_between_pages_is_in_one_of_them(store: Store) {
    let (_server, client, carl, ids) = world(store, 6).await;
    let (first, rest) = pages_around(&client, carl, 2, async |_| {
        for chat in [ids[0], ids[2], ids[5]] {
            client.say(carl, chat, "news").await;
        }
    })
    .await;
    assert_eq!(first, [ids[5], ids[4]]);
    assert_eq!(rest, [ids[3], ids[2], ids[1], ids[0]]);
    let list = client.list(&format!("/user/{carl}/chat")).await;
    assert_eq!(number(&list[0], "chatId"), ids[5]);
    assert_eq!(list[0]["lastMessage"]["content"], "news");
}

#[apply(both_stores)]
async fn a_page_whose_chats_are_all_gone_leads_to_the_next(store: Store) {
    let (_server, client, carl, ids) = world(store, 6).await;
    let (first, rest) = pages_around(&client, carl, 2, async |_| {
        for chat in [ids[3], ids[2]] {
            client.delete(&format!("/chat/{chat}")).await.expect(204);
        }
    })
    .await;
    assert_eq!(first, [ids[5], ids[4]]);
    assert_eq!(rest, [ids[1], ids[0]]);
}

#[apply(both_stores)]
async fn a_cursor_is_a_chats_id_too(store: Store) {
    let (_server, client, carl, ids) = world(store, 4).await;
    for (after, expected) in [
        (0, vec![ids[3], ids[2], ids[1], ids[0]]),
        (ids[2], vec![ids[1], ids[0]]),
        (ids[0], vec![]),
    ] {
        let path = format!("/user/{carl}/chat?after={after}");
        assert_eq!(chats(&client.get(&path).await.expect(200)), expected);
    }
}

#[apply(both_stores)]
async fn a_cursor_of_no_chat_of_the_list_is_refused(store: Store) {
    let (_server, client, carl, ids) = world(store, 2).await;
    let other = client.new_chat("not mine").await;
    client
        .delete(&format!("/chat/{}", ids[1]))
        .await
        .expect(204);
    for after in [
        other.to_string(),
        ids[1].to_string(),
        "77".to_owned(),
        "-1".to_owned(),
        "1.2".to_owned(),
        "1.2.3.4".to_owned(),
        "x".to_owned(),
    ] {
        let path = format!("/user/{carl}/chat?after={after}");
        let refused = client.get(&path).await.expect_error(400, "invalid_field");
        assert!(
            refused["error"].as_str().unwrap().contains("Link"),
            "{refused}"
        );
    }
}

#[apply(both_stores)]
async fn what_is_unread_begins_with_the_membership(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let chat = client.new_chat("general").await;
    client.say_many(carl, chat, 3).await;
    let standing = async |user: i64| {
        let list = client.list(&format!("/user/{user}/chat")).await;
        assert_eq!(list.len(), 1, "{list:?}");
        (
            list[0]["unread"].clone(),
            list[0]["lastReadMessageId"].clone(),
        )
    };
    let named = async |name: &str| client.new_user(name).await;
    // By each way to become a member.
    let [put, get, connected] = [named("p").await, named("g").await, named("c").await];
    let path = format!("/chat/{chat}/user/{put}");
    client.put(&path, json!({})).await.expect(201);
    let path = format!("/chat/user/{get}?chat_id={chat}");
    client.get(&path).await.expect(201);
    server.socket().await.enter(connected, chat).await;
    for user in [put, get, connected] {
        assert_eq!(standing(user).await, (json!(0), Value::Null));
    }
    client.say(carl, chat, "after").await;
    for user in [put, get, connected] {
        assert_eq!(standing(user).await, (json!(1), Value::Null));
    }
}
