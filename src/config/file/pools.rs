//! The keys of pools.

use std::{collections::BTreeMap, time::Duration};

use super::{
    keys::{Key, Kind},
    reader::Reader,
    settings::{flag, number, push, put, word},
    tree::Item,
};
use crate::config::{
    Balance, ForwardedForm, PoolOptions, UpstreamServer,
    units::{memory, time},
};

/// Declares settings of a pool: key, kind and parser, default, field, meaning.
macro_rules! settings {
    ($($key:ident $kind:ident $parser:ident $default:literal: $doc:literal;)*) => {
        vec![$(Key::text(
            stringify!($key), None, Kind::$kind, $default, $doc,
            |pool: &mut PoolOptions, text| put(&mut pool.$key, $parser(text)),
        )),*]
    };
}

/// A time that may be nothing: `0` needs no unit.
fn time_or_none(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { time(text) }
}

/// `[pool.NAME]`.
#[rustfmt::skip]
pub(super) fn pool() -> Vec<Key<PoolOptions>> {
    let mut keys = vec![
        Key::text("servers", None, Kind::Texts("SERVER"), "",
            "The servers: http://127.0.0.1:3000, https://app.example, 127.0.0.1:3000 or unix:/run/app.sock; each address of a name is a server",
            |pool: &mut PoolOptions, text| {
                push(&mut pool.servers, text.parse().map(UpstreamServer::new))
            }),
        Key::text("balance", None,
            Kind::OneOf(&["least", "ewma", "hash-client", "hash-path", "round-robin"]), "least",
            "Which server gets a request: the one with the fewest exchanges in flight, or with the \
             least expected wait; always the same for a client's address or a path; each in turn",
            |pool, text| {
                match text {
                    "least" => pool.balance = Balance::Least,
                    "ewma" => pool.balance = Balance::Ewma,
                    "hash-client" => pool.balance = Balance::HashClient,
                    "hash-path" => pool.balance = Balance::HashPath,
                    "round-robin" => pool.balance = Balance::RoundRobin,
                    _ => return Err("give one of the words of the reference".to_owned()),
                }
                Ok(())
            }),
    ];
    keys.extend(settings! {
        max Number number "128": "Connections to one server, of the whole process; beyond, requests wait in line";
        waiting Number number "256": "Requests in line, of the whole process; beyond, 503";
        wait Time time "3s": "Time in line; beyond it 503";
        connect Time time "2s": "For one attempt to connect; beyond it the next server, else 504";
        send Time time "30s": "For the server to take more of a request; beyond it 504";
        first_byte Time time "30s": "From the end of a request to the end of the response's head; beyond it 504";
        between Time time "30s": "Between two pieces of a response; beyond it the client is cut off";
        keep_idle Time time_or_none "4s": "How long an unused connection is kept; 0: a connection serves one exchange";
        keep Number number "16": "Unused connections to one server that a worker keeps";
        exchanges Number number "10000": "Exchanges of one connection";
        lifetime Time time "1h": "How long a connection is used";
        head_bytes Size memory "32KiB": "Largest response head; beyond it 502";
        head_fields Number number "100": "Most field lines of a response head; beyond them 502";
        interim Number number "8": "Most interim responses (1xx) before a final one; beyond them 502";
        hold_request Size memory "64KiB": "Request content that is held before a connection is taken; longer content streams";
        hold_response Size memory "256KiB": "Content of a response that is held for a client that does not keep up, besides what the kernel holds; beyond, the server is not read";
        tunnels Number number "5000": "Connections that have switched protocols at a time, of the whole process, and half of the connections of each worker at most; beyond, 503";
        tunnel_idle Time time "1h": "How long such a connection may be silent on both sides; beyond, it is closed";
        proxy_status Flag flag "false": "Whether a 502, 503 or 504 of Ringway names its reason to the client (Proxy-Status, RFC 9209)";
        tries Number number "1": "Second tries of a request that may be sent again";
        underscores Flag flag "false": "Whether fields with _ in their names are passed on";
        path_as_sent Flag flag "false": "Whether paths that two servers could read differently are passed on, instead of 400";
    });
    keys.extend([
        Key::text("resolve_every", None, Kind::Time, "10s",
            "How often names of servers are resolved",
            |pool: &mut PoolOptions, text| put(&mut pool.resolve_every, time(text))),
        Key::text("ca", None, Kind::Path, "those of the system",
            "Authorities, in PEM, by which certificates of https:// servers are believed",
            |pool, text| put(&mut pool.ca, Ok::<_, String>(Some(text.into())))),
        Key::text("server_name", None, Kind::Text("NAME"), "the host of the URL",
            "The name that https:// servers are asked for and must have in their certificates",
            |pool, text| put(&mut pool.server_name, Ok::<_, String>(Some(text.to_owned())))),
        Key::text("in_front", None, Kind::Time, "not known",
            "After how long what stands in front of Ringway gives up; `ringway check` compares",
            |pool, text| put(&mut pool.in_front, time(text).map(Some))),
        Key::text("server_idle", None, Kind::Time, "not known",
            "After how long the servers close unused connections; `ringway check` compares",
            |pool, text| put(&mut pool.server_idle, time(text).map(Some))),
        Key::text("send_proxy", None, Kind::OneOf(&["no", "v2"]), "no",
            "Whether connections begin with a header of the PROXY protocol that names the client; each then serves one request",
            |pool, text| put(&mut pool.send_proxy, word(text, &[("no", false), ("v2", true)]))),
        Key::text("health", None, Kind::Text("PATH"), "no checks",
            "Path that each server is asked for now and then; 2xx and 3xx pass",
            |pool, text| put(&mut pool.health.path, Ok::<_, String>(Some(text.to_owned())))),
        Key::text("health_interval", None, Kind::Time, "5s", "Between two health checks of a server",
            |pool, text| put(&mut pool.health.interval, time(text))),
        Key::text("health_timeout", None, Kind::Time, "2s", "For one health check",
            |pool, text| put(&mut pool.health.timeout, time(text))),
        Key::text("health_fall", None, Kind::Number, "3",
            "Failed health checks in a row that take a server out",
            |pool, text| put(&mut pool.health.fall, number(text))),
        Key::text("health_rise", None, Kind::Number, "2",
            "Passed health checks in a row that take it in again",
            |pool, text| put(&mut pool.health.rise, number(text))),
        Key::text("host", None, Kind::Text("HOST"), "as the client sent it",
            "What replaces Host",
            |pool: &mut PoolOptions, text| put(&mut pool.host, Ok::<_, String>(Some(text.to_owned())))),
        Key::text("forwarded", None, Kind::OneOf(&["x-forwarded", "forwarded"]), "x-forwarded",
            "Which fields name the client: X-Forwarded-*, or Forwarded (RFC 7239)",
            |pool, text| {
                let words = [
                    ("x-forwarded", ForwardedForm::XForwarded),
                    ("forwarded", ForwardedForm::Forwarded),
                ];
                put(&mut pool.forwarded, word(text, &words))
            }),
        Key::text("upgrade", None, Kind::Texts("PROTOCOL"), "websocket",
            "Protocols that a request may switch to, in lower case; [] for none",
            |pool: &mut PoolOptions, text| {
                if !pool.upgrade.iter().any(|known| known == text) {
                    pool.upgrade.push(text.to_owned());
                }
                Ok(())
            }),
        Key::text("trusted", None, Kind::Texts("NETWORK"), "",
            "Networks of peers whose forwarding fields are believed, such as 10.0.0.0/8",
            |pool, text| push(&mut pool.trusted, text.parse())),
    ]);
    keys
}

/// Reads all pools.
pub(super) fn pools(
    pools: &mut BTreeMap<String, PoolOptions>,
    item: &Item,
    reader: &mut Reader,
    place: &str,
) {
    let Some(table) = reader.as_table(item) else { return };
    let keys = pool();
    for entry in &table.entries {
        let place = format!("{place}.{}", entry.key);
        reader.stands(&place, &entry.at);
        let mut pool = PoolOptions::default();
        if let Some(table) = reader.as_table(&entry.item) {
            // What is given takes the place of the usual protocols.
            if table.entries.iter().any(|entry| entry.key == "upgrade") {
                pool.upgrade.clear();
            }
            reader.table(table, &keys, &mut pool, &place, "a pool");
        }
        pools.insert(entry.key.clone(), pool);
    }
}
