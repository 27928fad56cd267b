//! Permissions: every cell of `docs/PERMISSIONS.md` is executed, and every route and frame stands
//! there.

mod actors;
mod frames;
mod routes;
mod table;

use actors::{Actors, Role};
use std::collections::BTreeSet;
use table::Table;
use testkit::{Server, Store, apply, both_stores, rstest};

/// That the whole table comes from one address must not make it answer 429.
async fn server(store: Store) -> Server {
    Server::start_with(store, &["--auth=required", "--rate-limit=off"]).await
}

#[apply(both_stores)]
async fn every_route_answers_everyone_as_the_table_says(store: Store) {
    let table = Table::read("## Routes");
    let mut actors = Actors::sign_up(server(store).await).await;
    let mut wrong = Vec::new();
    for (route, cells) in &table.rows {
        for (role, cell) in Role::ALL.into_iter().zip(cells) {
            let scene = actors.scene().await;
            let before = actors.state(&scene).await;
            let seen = routes::play(&actors, &scene, role, route, cell).await;
            if cell.starts_with('4') {
                let after = actors.state(&scene).await;
                assert_eq!(before, after, "{route} by {role:?} was refused");
            }
            if seen != *cell {
                wrong.push(format!("{route} by {role:?}: {seen}, not {cell}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(table.cells() >= 160, "{} cells", table.cells());
}

#[apply(both_stores)]
async fn every_frame_is_answered_as_the_table_says(store: Store) {
    let table = Table::read("## Frames");
    let mut actors = Actors::sign_up(server(store).await).await;
    let mut wrong = Vec::new();
    for (kind, cells) in &table.rows {
        for (role, cell) in Role::ALL.into_iter().zip(cells) {
            let scene = actors.scene().await;
            let before = actors.state(&scene).await;
            let seen = frames::play(&actors, &scene, role, kind).await;
            if cell != "ack" {
                let after = actors.state(&scene).await;
                assert_eq!(before, after, "{kind} by {role:?} was refused");
            }
            if seen != *cell {
                wrong.push(format!("{kind} by {role:?}: {seen}, not {cell}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let listed: BTreeSet<String> = table.names().collect();
    assert_eq!(listed, frames::kinds(&actors).await, "frames in the table");
}

#[test]
fn every_route_is_in_the_table() {
    let listed: BTreeSet<String> = Table::read("## Routes").names().collect();
    let routes = routes::of_the_document();
    let missing: Vec<_> = routes.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&routes).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    assert!(unknown.is_empty(), "no route of the server: {unknown:?}");
}
