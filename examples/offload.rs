//! A route that computes, on threads of its own: `cargo run --example offload`, then
//!
//! ```sh
//! curl -k https://localhost:8443/primes/2000000 &
//! curl -k https://localhost:8443/
//! ```
//!
//! The second answer does not wait for the first.

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use ringway::Server;

/// How many primes there are below `limit`.
fn primes(limit: usize) -> usize {
    let mut composite = vec![false; limit];
    let mut count = 0;
    for number in 2..limit {
        if !composite[number] {
            count += 1;
            for multiple in (number * number..limit).step_by(number) {
                composite[multiple] = true;
            }
        }
    }
    count
}

async fn count(Path(limit): Path<usize>) -> Result<String, StatusCode> {
    if limit > 100_000_000 {
        return Err(StatusCode::BAD_REQUEST);
    }
    let counted = ringway::offload(move || primes(limit)).await;
    counted.map(|count| format!("{count}\n")).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8443".to_owned());
    let app = Router::new()
        .route("/", get(|| async { "at once\n" }))
        .route("/primes/{limit}", get(count).layer(ringway::endpoint("/primes/{limit}")));
    let server = Server::builder().listen(address.parse()?).service(app).start()?;
    println!("https://localhost:{}/", server.addresses()[0].port());
    server.wait()?;
    Ok(())
}
