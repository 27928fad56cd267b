//! Chats where every caller signs in: members see them, admins run them, and each has an admin.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use testkit::{Person, Server, Store, apply, both_stores, field, rstest};

/// A chat of carl's, with dora and otto in it.
struct Scene {
    server: Server,
    carl: Person,
    dora: Person,
    otto: Person,
    chat: i64,
}

async fn scene(store: Store) -> Scene {
    let server = Server::start_required(store).await;
    let (carl, dora) = (server.person("carl").await, server.person("dora").await);
    let otto = server.person("otto").await;
    let chat = carl.chat("general").await;
    carl.add(chat, &dora, "participant").await;
    carl.add(chat, &otto, "participant").await;
    Scene {
        server,
        carl,
        dora,
        otto,
        chat,
    }
}

impl Scene {
    fn place(&self, who: &Person) -> String {
        format!("/chat/{}/user/{}", self.chat, who.id)
    }

    async fn roles(&self, asks: &Person) -> Vec<Value> {
        let members = asks.client.list(&format!("/user/chat/{}", self.chat)).await;
        field(&members, "role")
    }
}

/// The error with every number taken out.
fn words(error: &Value) -> String {
    let text = error["error"].as_str().expect("a sentence");
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[apply(both_stores)]
async fn what_one_does_not_see_reads_as_if_it_did_not_exist(store: Store) {
    let scene = scene(store).await;
    let stranger = scene.server.person("gustav").await.client;
    let message = scene.carl.say(scene.chat, "Between us.").await;
    let chat = scene.chat;
    let paths = |chat: i64, message: i64| {
        [
            format!("/chat/{chat}"),
            format!("/user/chat/{chat}"),
            format!("/chat/{chat}/message"),
            format!("/chat/{chat}/message?since=0"),
            format!("/chat/{chat}/change"),
            format!("/chat/{chat}/message?q=us"),
            format!("/message/{message}"),
        ]
    };
    for (hidden, missing) in paths(chat, message).iter().zip(paths(9999, 9999)) {
        let hidden = stranger.get(hidden).await;
        let missing = stranger.get(&missing).await;
        assert_eq!((hidden.status, missing.status), (404, 404));
        assert_eq!(words(&hidden.body), words(&missing.body));
        assert_eq!(hidden.body["code"], missing.body["code"]);
    }
    let edit = json!({ "content": "Mine now." });
    for (id, body) in [(message, edit.clone()), (9999, edit)] {
        let path = format!("/message/{id}");
        stranger
            .put(&path, body)
            .await
            .expect_error(404, "message_not_found");
        stranger
            .delete(&path)
            .await
            .expect_error(404, "message_not_found");
    }
    // An answer to a message elsewhere tells nothing of it either.
    let own = stranger.new_chat("mine").await;
    let path = format!("/chat/{own}/message");
    let reply = async |to: i64| {
        let body = json!({ "content": "Yes.", "replyTo": to });
        stranger
            .post(&path, body)
            .await
            .expect_error(400, "invalid_field")
    };
    assert_eq!(reply(message).await, reply(9999).await);
}

#[apply(both_stores)]
async fn one_lists_ones_own_chats(store: Store) {
    let scene = scene(store).await;
    let gustav = scene.server.person("gustav").await;
    assert_eq!(gustav.client.list("/chat").await.len(), 0);
    let mut mine = Vec::new();
    for name in ["one", "two", "three"] {
        mine.push(json!(gustav.chat(name).await));
        scene.carl.chat(name).await;
    }
    let pages = gustav.client.pages("/chat?limit=2").await;
    assert_eq!(pages.len(), 2);
    assert_eq!(field(&pages.concat(), "chatId"), mine);
    assert_eq!(
        field(&scene.dora.client.list("/chat").await, "chatId"),
        [scene.chat]
    );
}

#[apply(both_stores)]
async fn the_last_admin_stays(store: Store) {
    let scene = scene(store).await;
    let (mine, demote) = (scene.place(&scene.carl), json!({ "role": "participant" }));
    let refused = scene.carl.client.delete(&mine).await;
    let error = refused.expect_error(403, "forbidden");
    assert!(
        error["error"]
            .as_str()
            .is_some_and(|text| text.contains("last admin")),
        "{error}"
    );
    let refused = scene.carl.client.put(&mine, demote.clone()).await;
    refused.expect_error(403, "forbidden");
    // Once there is another, one may go.
    scene.carl.add(scene.chat, &scene.dora, "admin").await;
    scene.carl.client.put(&mine, demote).await.expect(200);
    scene.carl.client.delete(&mine).await.expect(204);
    scene
        .carl
        .client
        .get(&format!("/chat/{}", scene.chat))
        .await
        .expect_error(404, "chat_not_found");
    scene
        .otto
        .client
        .delete(&scene.place(&scene.otto))
        .await
        .expect(204);
    // Or end it.
    scene
        .dora
        .client
        .delete(&scene.place(&scene.dora))
        .await
        .expect_error(403, "forbidden");
    scene
        .dora
        .client
        .delete(&format!("/chat/{}", scene.chat))
        .await
        .expect(204);
}

#[apply(both_stores)]
async fn two_admins_who_leave_at_once_leave_one(store: Store) {
    let scene = scene(store).await;
    for _ in 0..10 {
        scene.carl.add(scene.chat, &scene.dora, "admin").await;
        let (mine, hers) = (scene.place(&scene.carl), scene.place(&scene.dora));
        let (one, two) = join(
            scene.carl.client.delete(&mine),
            scene.dora.client.delete(&hers),
        )
        .await;
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 403]);
        let (stayed, left) = match one.status {
            403 => (&scene.carl, &scene.dora),
            _ => (&scene.dora, &scene.carl),
        };
        stayed.add(scene.chat, left, "admin").await;
    }
}

#[apply(both_stores)]
async fn admins_who_remove_each_other_at_once_leave_one(store: Store) {
    let scene = scene(store).await;
    for _ in 0..10 {
        scene.carl.add(scene.chat, &scene.dora, "admin").await;
        let (mine, hers) = (scene.place(&scene.carl), scene.place(&scene.dora));
        let (one, two) = join(
            scene.carl.client.delete(&hers),
            scene.dora.client.delete(&mine),
        )
        .await;
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [204, 404], "who is gone sees the chat no more");
        let (stayed, left) = match one.status {
            204 => (&scene.carl, &scene.dora),
            _ => (&scene.dora, &scene.carl),
        };
        stayed.add(scene.chat, left, "admin").await;
    }
}

#[apply(both_stores)]
async fn an_admin_who_is_removed_while_renaming_has_done_one_or_the_other(store: Store) {
    let scene = scene(store).await;
    let path = format!("/chat/{}", scene.chat);
    for n in 0..10 {
        scene.carl.add(scene.chat, &scene.dora, "admin").await;
        let name = format!("renamed {n}");
        let hers = scene.place(&scene.dora);
        let renaming = scene.dora.client.put(&path, json!({ "chatName": name }));
        let (removed, renamed) = join(scene.carl.client.delete(&hers), renaming).await;
        removed.expect(204);
        let present = scene.carl.client.get(&path).await.expect(200)["chatName"].clone();
        match renamed.status {
            200 => assert_eq!(present, name),
            _ => {
                renamed.expect_error(404, "chat_not_found");
                assert_ne!(present, name);
            }
        }
    }
}

#[apply(both_stores)]
async fn a_removed_member_gets_nothing_from_that_instant(store: Store) {
    let scene = scene(store).await;
    let mut dora = scene.dora.enter(&scene.server, scene.chat).await;
    let mut otto = scene.otto.enter(&scene.server, scene.chat).await;
    let message = dora.say(scene.chat, "Hello.").await["messageId"].clone();
    let talking = (0..20).map(|n| {
        let text = format!("secret {n}");
        let scene = &scene;
        async move { scene.carl.say(scene.chat, &text).await }
    });
    let hers = scene.place(&scene.dora);
    let (removed, said) = join(scene.carl.client.delete(&hers), join_all(talking)).await;
    removed.expect(204);
    let left = dora.until("leave-chat").await;
    assert_eq!(left["content"], scene.chat);
    let after = scene.carl.say(scene.chat, "She is gone.").await;
    otto.frames_until(|frame| frame["content"]["messageId"] == after)
        .await;
    assert_eq!(said.len(), 20);
    for (kind, content, code) in [
        (
            "send-message",
            json!({ "chatId": scene.chat, "content": "?" }),
            "not_connected",
        ),
        ("delete-message", message.clone(), "message_not_found"),
        (
            "connect-chat",
            scene.dora.connect(scene.chat),
            "chat_not_found",
        ),
    ] {
        dora.send(json!({ "type": kind, "id": kind, "content": content }))
            .await;
        let answer = dora.next().await;
        assert_eq!(
            answer["content"]["code"], code,
            "the next frame is the answer: {answer}"
        );
    }
    let path = format!("/message/{message}");
    scene
        .dora
        .client
        .get(&path)
        .await
        .expect_error(404, "message_not_found");
}

#[apply(both_stores)]
async fn a_deleted_admin_is_succeeded(store: Store) {
    let scene = scene(store).await;
    let alone = scene.carl.chat("alone").await;
    scene.carl.say(scene.chat, "Goodbye.").await;
    scene
        .carl
        .client
        .delete(&format!("/user/{}", scene.carl.id))
        .await
        .expect(204);
    assert_eq!(scene.roles(&scene.dora).await, ["admin", "participant"]);
    scene
        .dora
        .client
        .put(
            &format!("/chat/{}", scene.chat),
            json!({ "chatName": "hers" }),
        )
        .await
        .expect(200);
    scene
        .dora
        .client
        .get(&format!("/chat/{alone}"))
        .await
        .expect_error(404, "chat_not_found");
}

#[apply(both_stores)]
async fn both_last_admins_deleted_at_once_are_succeeded(store: Store) {
    let scene = scene(store).await;
    scene.carl.add(scene.chat, &scene.dora, "admin").await;
    let delete = async |who: &Person| who.client.delete(&format!("/user/{}", who.id)).await;
    let (one, two) = join(delete(&scene.carl), delete(&scene.dora)).await;
    assert_eq!((one.status, two.status), (204, 204));
    assert_eq!(scene.roles(&scene.otto).await, ["admin"]);
}
