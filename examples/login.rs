//! Files behind a session: `cargo run --example login -- 127.0.0.1:8443 FOLDER`, then
//!
//! ```sh
//! curl -ki https://localhost:8443/private/file.txt                      # 303 to /login
//! curl -k -c jar https://localhost:8443/login -d name=you -d password=secret
//! curl -k -b jar https://localhost:8443/private/file.txt
//! ```
//!
//! A native handler checks the session before the file is served as any file is, uncopied and with
//! ranges; nothing is allocated for that.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Form, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use ringway::{
    Server,
    native::{Head, Outcome, Reply},
};

/// Sessions that are kept, at most.
const MOST: usize = 10_000;

/// Who is logged in, by the value of the cookie.
type Sessions = Arc<Mutex<HashMap<String, String>>>;

#[derive(serde::Deserialize)]
struct Login {
    name: String,
    password: String,
}

/// A number that nobody guesses, as hexadecimal digits.
fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

async fn form() -> Html<&'static str> {
    Html(
        "<form method=post><input name=name><input name=password type=password><button>in</button></form>",
    )
}

async fn login(State(sessions): State<Sessions>, Form(login): Form<Login>) -> Response {
    // A real program asks its users' store.
    if login.password != "secret" {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Ok(token) = token() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let Ok(cookie) =
        HeaderValue::try_from(format!("session={token}; Path=/; Secure; HttpOnly; SameSite=Lax"))
    else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
    if sessions.len() >= MOST {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    sessions.insert(token, login.name);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/private/")).into_response()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8443".to_owned());
    let folder = arguments.next().unwrap_or_else(|| ".".to_owned());
    let sessions = Sessions::default();
    let app = Router::new().route("/login", get(form).post(login)).with_state(sessions.clone());
    let guard = move |head: &Head<'_>, reply: &mut Reply| {
        let session = head.cookie("session").and_then(|value| str::from_utf8(value).ok());
        let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if session.is_some_and(|session| sessions.contains_key(session)) {
            return Outcome::Pass;
        }
        reply.status(303).field("Location", "/login").field("Cache-Control", "no-store");
        Outcome::Done
    };
    let server = Server::builder()
        .listen(address.parse()?)
        .root(folder)
        .handler_at("/private", guard)
        .service_at("/login", app)
        .start()?;
    println!("https://localhost:{}/private/", server.addresses()[0].port());
    server.wait()?;
    Ok(())
}
