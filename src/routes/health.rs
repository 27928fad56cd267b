//! `/health`: for whoever keeps the server running.

use crate::{error::Error, state::AppState};
use axum::{Json, Router, extract::State, routing::get};
use serde_json::{Value, json};

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
}

/// 200 while the process answers at all.
async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// 200 while changes are stored; 503 `unavailable` otherwise. `link` tells whether the
/// server is connected to NATS, over which it hears the others.
async fn ready(State(state): State<AppState>) -> Result<Json<Value>, Error> {
    let link = state.health.ready().await?;
    Ok(Json(json!({ "status": "ready", "link": link })))
}
