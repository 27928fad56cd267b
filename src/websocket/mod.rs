//! `/ws`: upgrades a request to a WebSocket and starts the task of the socket.

mod commands;
mod handshake;
mod session;
mod socket;

pub(crate) use crate::{
    error::{Code, Error},
    middleware::{ClientAddress, Connection, SameSite, request_log, too_many_connections},
    rate_limit::{Permit, rate_limit_key},
    routes::{OptionalSession, refusal},
    state::AppState,
};
use axum::{
    Extension,
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use handshake::Handshake;
use socket::Socket;
use std::net::IpAddr;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The read buffer of a socket, in bytes: enough for an ordinary frame. A larger frame grows the
/// buffer while the frame is read.
const READ_BUFFER: usize = 256;

pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(upgrade))
}

/// Open a WebSocket
///
/// Frames are texts of the form `{"type":…,"content":…,"id"?:…}`. The first frame must be
/// `connect-chat`, which identifies the user. `/asyncapi.yaml` describes all frames. A request
/// without an upgrade is answered with 426.
#[utoipa::path(
    get, path = "/ws", operation_id = "openSocket", tag = "websocket",
    responses(
        (status = SWITCHING_PROTOCOLS, description = "The WebSocket is open"),
        refusal::UpgradeRequired,
    ),
    security(("token" = []), ()),
)]
async fn upgrade(
    // A page of another site must not open a socket. Browsers send no CORS preflight before a
    // WebSocket upgrade.
    (SameSite, OptionalSession(opened_by)): (SameSite, OptionalSession),
    State(state): State<AppState>,
    Extension(connection): Extension<Connection>,
    Extension(client): Extension<ClientAddress>,
    Extension(request_log::XRequestId(id)): Extension<request_log::XRequestId>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let upgrade = upgrade.map_err(|_| {
        let message = "This route accepts WebSocket (version 13) only: send Upgrade: websocket";
        Error::new(Code::UpgradeRequired, message)
    })?;
    let permit = permit_behind_proxy(&state, &connection, client)?;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        // The send queue buffers.
        .write_buffer_size(0)
        .max_frame_size(state.limits.frame)
        .max_message_size(state.limits.frame);
    // Counted from here on, so that a stopping server waits for the handshake too.
    let counted = state.socket_tasks.token();
    Ok(upgrade.on_upgrade(async move |socket| {
        let id = id.to_str().unwrap_or_default();
        let socket = Socket::new(socket, id, client.0, &connection, &state);
        let identified = Box::pin(Handshake::new(socket, opened_by, &state).identify()).await;
        if let Some((session, admitted)) = identified {
            // The session runs in a task of its own, so that an open socket does not keep the
            // memory of its upgrade and handshake.
            state.socket_tasks.spawn(async move {
                session.run(admitted).await;
                drop((connection, permit));
            });
        }
        drop(counted);
    }))
}

/// Takes a connection permit for the client's address if the connection belongs to a trusted proxy.
/// Such a connection was not counted when it was accepted, because it may carry many clients.
/// Returns `None` for a direct connection.
fn permit_behind_proxy(
    state: &AppState,
    connection: &Connection,
    ClientAddress(client): ClientAddress,
) -> Result<Option<Permit<IpAddr>>, Error> {
    if !state.proxies.contain(connection.peer.ip()) {
        return Ok(None);
    }
    let permit = state.connections_per_address.take(rate_limit_key(client));
    permit.map(Some).ok_or_else(too_many_connections)
}
