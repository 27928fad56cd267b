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
                "Creates a session. A wrong name and a wrong password receive the same answer \
                 after the same time. After several failed logins, each further attempt has to \
                 wait longer. A correct password that is too weak for required mode, such as one \
                 from open mode, is refused with `password_change_required`: ask for a new \
                 password, and log in again with the old password and `newPassword`. The new \
                 password replaces the old one and ends all other sessions.",
            )
            .for_everyone()
            .takes::<Credentials>(json!({ "username": "dora", "password": "correct horse" }))
            .gives::<LoggedIn<'_>>(
                "The token of the session, which is returned only once",
                logged_in(),
            )
            .refuses(&[Code::Unauthorized, Code::PasswordChangeRequired]),
        post("/logout", "logOut", "Sign out")
            .about("Ends the current session and closes its sockets.")
            .for_signed_in()
            .gives_nothing("The token is no longer valid"),
        get("/me", "findMe", "Get the current user")
            .for_signed_in()
            .gives::<User>("The token's user", dora()),
        get(
            "/session",
            "listSessions",
            "List the current user's sessions",
        )
        .for_signed_in()
        .lists_all::<Session>(
            "All sessions of the user, including the current one",
            json!([session()]),
        ),
        delete(
            "/session",
            "endOtherSessions",
            "End all sessions except the current one",
        )
        .for_signed_in()
        .gives_nothing("The current session is the only one"),
        delete(
            "/session/{id}",
            "endSession",
            "End one of the current user's sessions",
        )
        .for_signed_in()
        .id::<SessionId>("id", 1)
        .gives_nothing("The session has ended and its sockets are closed")
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
