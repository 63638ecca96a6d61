//! A JSON API with state that all workers share: `cargo run --example json_api`, then
//!
//! ```sh
//! curl -k https://localhost:8443/items -H 'content-type: application/json' -d '{"name": "tea"}'
//! curl -k https://localhost:8443/items/1
//! curl -k -X DELETE https://localhost:8443/items/1
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use ringway::Server;
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Item {
    name: String,
}

#[derive(Deserialize)]
struct Wanted {
    /// Only items with this in their name.
    #[serde(default)]
    name: String,
}

#[derive(Default)]
struct Items {
    last: u64,
    by_id: BTreeMap<u64, Item>,
}

type Shared = Arc<Mutex<Items>>;

/// The lock is never held across an await: no worker waits for another.
fn lock(items: &Shared) -> MutexGuard<'_, Items> {
    items.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn list(State(items): State<Shared>, Query(wanted): Query<Wanted>) -> Json<Vec<(u64, Item)>> {
    let items = lock(&items);
    let found = items.by_id.iter().filter(|(_, item)| item.name.contains(&wanted.name));
    Json(found.map(|(id, item)| (*id, item.clone())).collect())
}

async fn add(State(items): State<Shared>, Json(item): Json<Item>) -> (StatusCode, Json<u64>) {
    let mut items = lock(&items);
    items.last += 1;
    let id = items.last;
    items.by_id.insert(id, item);
    (StatusCode::CREATED, Json(id))
}

async fn show(State(items): State<Shared>, Path(id): Path<u64>) -> Result<Json<Item>, StatusCode> {
    lock(&items).by_id.get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn remove(State(items): State<Shared>, Path(id): Path<u64>) -> StatusCode {
    match lock(&items).by_id.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8443".to_owned());
    let app = Router::new()
        .route("/items", get(list).post(add))
        .route("/items/{id}", get(show).delete(remove))
        .with_state(Shared::default());
    let server = Server::builder().listen(address.parse()?).service(app).start()?;
    println!("https://localhost:{}/items", server.addresses()[0].port());
    server.wait()?;
    Ok(())
}
