//! A user name that looks like a taken one is refused.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{PASSWORD, Server, Store, apply, both_stores, rstest};

/// `carl` in other cases, in letters of other scripts, with invisible characters, and with a letter that
/// looks like an l.
const LIKE_CARL: [&str; 9] = [
    "CARL",
    "Carl",
    "c\u{430}rl",
    "ca\u{200b}rl",
    "ca\u{ad}rl",
    " carl ",
    "carl\u{2800}",
    "ｃａｒｌ",
    "carI",
];

fn sign_up(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD })
}

#[apply(both_stores)]
async fn a_name_that_looks_like_another_is_taken(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    client.new_user("carl").await;
    let sigmund = client.new_user("sigmund").await;
    for name in LIKE_CARL {
        let reply = client.post("/user", sign_up(name)).await;
        reply.expect_error(409, "username_taken");
        let path = format!("/user/{sigmund}");
        let reply = client.put(&path, json!({ "username": name })).await;
        reply.expect_error(409, "username_taken");
    }
    // Capitals that two scripts share, and a look-alike of another length.
    client.new_user("Tom").await;
    for name in ["\u{422}om", "\u{422}\u{41e}\u{41c}", "Torn", "TOM"] {
        let reply = client.post("/user", sign_up(name)).await;
        reply.expect_error(409, "username_taken");
    }
    for name in ["karl", "cärl", "carla", "car", "ca rl", "Карл", "カール"] {
        client.post("/user", sign_up(name)).await.expect(201);
    }
    // Two chats may have equal or look-alike names.
    client.new_chat("general").await;
    client.new_chat("GENERAL").await;
}

#[apply(both_stores)]
async fn a_renamed_user_leaves_the_old_name_and_takes_the_new(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let rename = async |name: &str| {
        let path = format!("/user/{carl}");
        client.put(&path, json!({ "username": name })).await
    };
    for name in ["Carl", "CARL", "CARL", "charles"] {
        assert_eq!(rename(name).await.expect(200)["username"], name);
    }
    let reply = client.post("/user", sign_up("Charles")).await;
    reply.expect_error(409, "username_taken");
    client.new_user("carl").await;
    rename("cArl").await.expect_error(409, "username_taken");
}

#[apply(both_stores)]
async fn of_many_who_sign_up_under_one_look_one_gets_it(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let signing_up = LIKE_CARL.map(|name| client.post("/user", sign_up(name)));
    let replies = join_all(signing_up).await;
    let created = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(created, 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 201) {
        reply.expect_error(409, "username_taken");
    }
}

#[apply(both_stores)]
async fn a_name_is_found_in_every_normal_form(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let user = client
        .post("/user", sign_up("Zoe\u{308}"))
        .await
        .expect(201);
    assert_eq!(user["username"], "Zoë", "names are stored in normal form C");
    for path in ["Zo%C3%AB", "Zoe%CC%88"] {
        let found = client.get(&format!("/user/username/{path}")).await;
        assert_eq!(found.expect(200), user);
    }
    for name in ["Zoë", "Zoe\u{308}"] {
        assert_eq!(client.login(name, PASSWORD).await["user"], user);
    }
    let missing = client.get("/user/username/Zoe").await;
    missing.expect_error(404, "user_not_found");
    let chat = json!({ "chatName": "cafe\u{301}" });
    let chat = client.post("/chat", chat).await.expect(201);
    assert_eq!(chat["chatName"], "café");
}

#[apply(both_stores)]
async fn upper_and_lower_case_are_one_name_but_not_one_login(store: Store) {
    let server = Server::start_required(store).await;
    let carl = server.person("carl").await;
    for name in LIKE_CARL {
        let login = server.client().post("/login", sign_up(name)).await;
        login.expect_error(401, "unauthorized");
    }
    let missing = carl.client.get("/user/username/CARL").await;
    missing.expect_error(404, "user_not_found");
}

#[apply(both_stores)]
async fn the_sample_users_have_their_names_for_themselves(store: Store) {
    let server = Server::start_with(store, &["--demo-data=true"]).await;
    for name in ["CARL", "Sigmund", "gust\u{430}v"] {
        let reply = server.client().post("/user", sign_up(name)).await;
        reply.expect_error(409, "username_taken");
    }
}
