//! `/login`, `/logout`, `/me` and `/session` in the OpenAPI document.

use super::operation::{Operation, delete, get, post};
use crate::{
    error::Code,
    model::{Session, SessionId, User},
    routes::session::{Credentials, LoggedIn},
};
use serde_json::{Value, json};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/login", "logIn", "Sign in")
            .about(
                "Begins a session. A wrong name and a wrong password are answered the same, in the \
                 same time; after several, each further try has to wait longer. A right password that \
                 is weaker than passwords must be (from before everyone signed in) is refused with \
                 `password_change_required`: ask for a new one, and log in again with `newPassword` \
                 beside the old one. It takes the old one's place, and ends all other sessions.",
            )
            .for_everyone()
            .takes::<Credentials>(json!({ "username": "dora", "password": "correct horse" }))
            .gives::<LoggedIn<'_>>("The session's token, shown this once", logged_in())
            .refuses(&[Code::Unauthorized, Code::PasswordChangeRequired]),
        post("/logout", "logOut", "Sign out")
            .about("Ends this session; its sockets are closed.")
            .for_signed_in()
            .gives_nothing("The token is worth nothing any more"),
        get("/me", "findMe", "Find out who one is")
            .for_signed_in()
            .gives::<User>("The token's user", dora()),
        get("/session", "listSessions", "List one's own sessions")
            .for_signed_in()
            .lists_all::<Session>("All of them, the current one too", json!([session()])),
        delete(
            "/session",
            "endOtherSessions",
            "End all one's other sessions",
        )
        .for_signed_in()
        .gives_nothing("This is the only one"),
        delete(
            "/session/{id}",
            "endSession",
            "End one of one's own sessions",
        )
        .for_signed_in()
        .id::<SessionId>("id", 1)
        .gives_nothing("It has ended; its sockets are closed")
        .refuses(&[Code::SessionNotFound]),
    ]
}

fn dora() -> Value {
    json!({ "customerId": 4, "username": "dora", "createdAt": "2026-11-23T06:22:29.587Z" })
}

fn logged_in() -> Value {
    json!({
        "token": "3f9a1c0e7b52d4886e1fa0b9c3d75e24810f6ab2d9c4e7135b08fd62a7e91c40",
        "expiresAt": "2026-12-23T06:22:31.204Z",
        "user": dora()
    })
}

fn session() -> Value {
    json!({
        "sessionId": 1,
        "createdAt": "2026-11-23T06:22:31.204Z",
        "lastUsedAt": "2026-11-23T06:22:31.204Z",
        "expiresAt": "2026-12-23T06:22:31.204Z",
        "userAgent": "curl/8.5.0",
        "current": true
    })
}
