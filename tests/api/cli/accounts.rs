//! Users and passwords, made and set without the API.

use super::serve;
use serde_json::json;
use testkit::{Database, Store, apply, both_stores, rstest};

const PASSWORD: &str = "Zug um halb neun";
const OTHER: &str = "Kaffee ohne Milch";

/// Makes a user by the command; gives its output.
async fn create_user(database: &Database, name: &str, input: &str) -> String {
    let args = ["create-user", name];
    let made = database.command_with(&args, input.as_bytes()).await;
    let output = made.expect_success();
    String::from_utf8(output).expect("UTF-8")
}

#[apply(both_stores)]
async fn a_user_that_was_made_can_sign_in(store: Store) {
    let database = Database::new(store).await;
    for (name, input) in [
        ("carl", format!("{PASSWORD}\n")),
        ("名前", format!("{PASSWORD}\r\nnot this\n")),
        ("no newline", PASSWORD.to_owned()),
    ] {
        let said = create_user(&database, name, &input).await;
        assert!(said.contains(name), "{said}");
    }
    let server = serve(&database, &[("AUTH", "required")]).await;
    for name in ["carl", "名前", "no newline"] {
        let login = server.client().login(name, PASSWORD).await;
        assert_eq!(login["user"]["username"], name);
    }
}

#[apply(both_stores)]
async fn a_new_password_by_command_ends_the_old_one_and_each_session(store: Store) {
    let required = [("AUTH", "required")];
    let database = Database::new(store).await;
    create_user(&database, "carl", PASSWORD).await;
    create_user(&database, "sigmund", PASSWORD).await;
    let server = serve(&database, &required).await;
    let login = server.client().login("carl", PASSWORD).await;
    let token = login["token"].as_str().expect("a token");
    let others = server.client().login("sigmund", PASSWORD).await;
    let others = others["token"].as_str().expect("a token");
    let args = ["reset-password", "carl"];
    let reset = async || database.command_with(&args, OTHER.as_bytes()).await;
    let said = reset().await.expect_success();
    let said = String::from_utf8(said).expect("UTF-8");
    assert!(said.contains("number of ended sessions: 1"), "{said}");
    let client = server.client();
    let ended = client.with_token(token).get("/me").await;
    ended.expect_error(401, "unauthorized");
    let old = json!({ "username": "carl", "password": PASSWORD });
    let old = client.post("/login", old).await;
    old.expect_error(401, "unauthorized");
    client.login("carl", OTHER).await;
    client.with_token(others).get("/me").await.expect(200);
}

#[apply(both_stores)]
async fn what_the_api_would_refuse_is_refused_here(store: Store) {
    let database = Database::new(store).await;
    create_user(&database, "carl", PASSWORD).await;
    let before = database.export().await;
    let long = "long ".repeat(300);
    for (args, input, words) in [
        (["create-user", "carl"], PASSWORD, "taken"),
        (["create-user", " "], PASSWORD, "username must be"),
        (["create-user", "otto"], "", "password must be"),
        (["create-user", "otto"], "short", "at least 8 bytes"),
        (["create-user", "otto"], "password1", "harder to guess"),
        (["create-user", "otto"], &long, "1 to 1024 bytes"),
        (["reset-password", "carl"], "password1", "harder to guess"),
        (
            ["reset-password", "otto"],
            PASSWORD,
            "no user has the name otto",
        ),
    ] {
        let refused = database.command_with(&args, input.as_bytes()).await;
        let said = refused.expect_failure(&[words]);
        assert!(input.is_empty() || !said.contains(input), "{said}");
    }
    assert_eq!(database.export().await, before);
    let argument = database.command(&["create-user", "otto", PASSWORD]).await;
    assert_eq!(
        argument.code,
        Some(2),
        "a password is no argument: {argument:?}"
    );
}
