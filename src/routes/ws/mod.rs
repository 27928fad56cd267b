//! `/ws`: the WebSocket.

mod handshake;
mod line;
mod requests;
mod session;

use super::{Connection, origin};
use crate::{
    auth::Caller,
    error::{Code, Error},
    protocol::Close,
    state::AppState,
};
use axum::{
    Extension, Router,
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    middleware,
    response::Response,
    routing::get,
};
use handshake::Handshake;
use line::Line;

/// What a socket reads at once, in bytes: a frame of ordinary size; larger ones grow the buffer
/// while they last.
const READ_BUFFER: usize = 512;
/// What a socket gathers before it writes without being asked to, in bytes.
const WRITE_BUFFER: usize = 16 * 1024;

pub(super) fn router(state: &AppState) -> Router<AppState> {
    // A page of another site must not open a socket: browsers ask nobody before they do.
    let guard = middleware::from_fn_with_state(state.clone(), origin::guard);
    Router::new().route("/ws", get(upgrade).layer(guard))
}

async fn upgrade(
    caller: Caller,
    State(state): State<AppState>,
    Extension(connection): Extension<Connection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let upgrade = upgrade.map_err(|_| {
        let message = "This route speaks WebSocket (version 13) only: ask with Upgrade: websocket";
        Error::new(Code::UpgradeRequired, message)
    })?;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_frame_size(state.limits.frame)
        .max_message_size(state.limits.frame);
    // Counted from here on, so that a stopping server waits for it.
    let counted = state.sessions.token();
    Ok(upgrade.on_upgrade(async move |socket| {
        let line = Line::new(socket, state.limits.write);
        let identified = Box::pin(Handshake::new(line, caller, &state).identify()).await;
        match identified {
            // In a task of its own: an open socket holds no room for its upgrade and handshake.
            Ok((session, admitted)) => {
                state.sessions.spawn(async move {
                    let close = session.run(admitted).await;
                    log_closed(&connection, close);
                });
            }
            Err(close) => log_closed(&connection, close),
        }
        drop(counted);
    }))
}

fn log_closed(connection: &Connection, close: Close) {
    tracing::info!(peer = %connection.peer, code = close.frame().0, "socket closed");
}
