//! An axum router on Ringway: `cargo run --example hello`, then
//! `curl -k https://localhost:8443/hello/you`.

use axum::{Router, extract::Path, routing::get};
use ringway::Server;

async fn hello(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8443".to_owned());
    let app = Router::new().route("/hello/{name}", get(hello));
    let server = Server::builder().listen(address.parse()?).service(app).start()?;
    println!("https://localhost:{}/hello/you", server.addresses()[0].port());
    server.wait()?;
    Ok(())
}
