//! The ledger of a report: each path with its flows, and what they add up to.

use super::rounded;
use crate::observe::{Flow, Ledger, Route, json::Object};

/// Appends the ledger; `whole_records` says whether a receive buffer holds a whole TLS record.
pub(super) fn push_ledger(object: &mut Object<'_>, ledger: &Ledger, whole_records: bool) {
    let mut all = Vec::new();
    let mut payload = 0;
    object.array("paths", |paths| {
        for route in Route::ALL {
            let carried = ledger.carried(route);
            let flows = ledger.flows(route);
            payload += carried.payload();
            paths.object(|path| {
                path.string("name", route.name());
                path.string("tls", route.tls());
                path.string("body", route.body());
                path.string("title", route.title());
                path.number("responses", carried.responses);
                push_flows(path, carried.payload(), &flows);
            });
            all.extend(flows);
        }
    });
    object.array("receive", |ways| {
        for (kernel, name, tls, title) in [
            (false, "user_tls/receive", "user", "user-space TLS, requests"),
            (true, "kernel_tls/receive", "kernel", "kernel TLS, requests"),
        ] {
            let (payload, flows) = ledger.receive_flows(kernel, whole_records);
            ways.object(|way| {
                way.string("name", name);
                way.string("tls", tls);
                way.string("title", title);
                push_flows(way, payload, &flows);
            });
        }
    });
    object.number("heads_bytes", ledger.heads);
    object.object("handshake", |handshake| {
        let (received, sent) = (ledger.handshake_received, ledger.handshake_sent);
        handshake.number("received_bytes", received);
        handshake.number("sent_bytes", sent);
        handshake.number("user_copied_bytes", received + sent);
    });
    object.object("total", |total| {
        total.number("payload_bytes", payload);
        let of = |by: &str, kind: &str| -> u64 {
            let flows = all.iter().filter(|flow| flow.by == by && flow.kind == kind);
            flows.map(|flow| flow.bytes).sum()
        };
        total.number("user_copied_bytes", of("user", "copy"));
        total.number("crossed_bytes", of("kernel", "copy"));
        total.number("user_cipher_bytes", of("user", "cipher"));
        total.number("kernel_cipher_bytes", of("kernel", "cipher"));
        push_passes(total, payload, &all);
    });
}

fn push_flows(object: &mut Object<'_>, payload: u64, flows: &[Flow]) {
    object.number("payload_bytes", payload);
    object.array("flows", |list| {
        for flow in flows {
            list.object(|each| {
                each.string("from", flow.from);
                each.string("to", flow.to);
                each.string("kind", flow.kind);
                each.string("by", flow.by);
                each.string("place", flow.place);
                each.number("bytes", flow.bytes);
                each.string("basis", flow.basis.name());
            });
        }
    });
    push_passes(object, payload, flows);
}

fn push_passes(object: &mut Object<'_>, payload: u64, flows: &[Flow]) {
    let bytes: u64 = flows.iter().map(|flow| flow.bytes).sum();
    if payload == 0 {
        object.null("passes_per_byte");
    } else {
        object.float("passes_per_byte", rounded(bytes as f64 / payload as f64));
    }
}
