//! The ledger of a report: each path with its flows, and what they add up to.

use serde_json::{Value, json};

use super::{each, rounded};
use crate::observe::{Flow, Ledger, Route};

/// The ledger; `whole_records` says whether a receive buffer holds a whole TLS record.
pub(super) fn value(ledger: &Ledger, whole_records: bool) -> Value {
    let of_routes = Route::ALL.map(|route| (route, ledger.carried(route), ledger.flows(route)));
    let payload = of_routes.iter().map(|(_, carried, _)| carried.payload()).sum();
    let all = || of_routes.iter().flat_map(|(_, _, flows)| flows);
    let of = |by: &str, kind: &str| -> u64 {
        let flows = all().filter(|flow| flow.by == by && flow.kind == kind);
        flows.map(|flow| flow.bytes).sum()
    };
    let receive = [
        (false, "user_tls/receive", "user", "user-space TLS, requests"),
        (true, "kernel_tls/receive", "kernel", "kernel TLS, requests"),
    ];
    let (received, sent) = (ledger.handshake_received, ledger.handshake_sent);
    json!({
        "paths": each(&of_routes, |(route, carried, carrying)| json!({
            "name": route.name(),
            "tls": route.tls(),
            "body": route.body(),
            "title": route.title(),
            "responses": carried.responses,
            "payload_bytes": carried.payload(),
            "flows": flows(carrying),
            "passes_per_byte": passes(carried.payload(), carrying),
        })),
        "receive": each(receive, |(kernel, name, tls, title)| {
            let (payload, taking) = ledger.receive_flows(kernel, whole_records);
            json!({
                "name": name,
                "tls": tls,
                "title": title,
                "payload_bytes": payload,
                "flows": flows(&taking),
                "passes_per_byte": passes(payload, &taking),
            })
        }),
        "uploads": each([ledger.upload_flows()], |(payload, passing)| json!({
            "name": "uploaded",
            "title": "request content, on to servers",
            "payload_bytes": payload,
            "flows": flows(&passing),
            "passes_per_byte": passes(payload, &passing),
        })),
        "applications": {
            "lent_bytes": ledger.taken().lent,
            "copied_bytes": ledger.taken().copied_for_application,
            "answers": {
                "copied_bytes": ledger.of_applications.copied,
                "from_place_bytes": ledger.of_applications.from_place,
                "file_bytes": ledger.of_applications.files,
            },
        },
        "compression": {
            "read_bytes": ledger.compressed.read,
            "written_bytes": ledger.compressed.written,
            "copied_bytes": ledger.compressed.read,
        },
        "heads_bytes": ledger.heads,
        "handshake": {
            "received_bytes": received,
            "sent_bytes": sent,
            "user_copied_bytes": received + sent,
        },
        "total": {
            "payload_bytes": payload,
            "user_copied_bytes": of("user", "copy"),
            "crossed_bytes": of("kernel", "copy"),
            "user_cipher_bytes": of("user", "cipher"),
            "kernel_cipher_bytes": of("kernel", "cipher"),
            "passes_per_byte": passes(payload, all()),
        },
    })
}

fn flows(flows: &[Flow]) -> Value {
    each(flows, |flow| {
        json!({
            "from": flow.from,
            "to": flow.to,
            "kind": flow.kind,
            "by": flow.by,
            "place": flow.place,
            "bytes": flow.bytes,
            "basis": flow.basis.name(),
        })
    })
}

/// How often each byte of `payload` was touched; none without payload.
fn passes<'f>(payload: u64, flows: impl IntoIterator<Item = &'f Flow>) -> Option<f64> {
    let bytes: u64 = flows.into_iter().map(|flow| flow.bytes).sum();
    (payload > 0).then(|| rounded(bytes as f64 / payload as f64))
}
