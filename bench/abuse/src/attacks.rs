//! The attacks, each on one thread of low priority, at a rate that is stated and kept to.
//!
//! The invariant: an attack goes on whatever the server does to it. What the server ends is begun
//! again, and counted.

mod application;
mod floods;
mod hold;
mod http2;
mod proxy;
mod records;
mod requests;

use crate::against::Against;
use crate::pacer::Signals;
use crate::target::Target;

/// An attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What it does and how fast.
    pub(crate) what: &'static str,
    /// What is counted.
    pub(crate) unit: &'static str,
    pub(crate) run: fn(&Target, &Signals),
}

const fn attack(
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    run: fn(&Target, &Signals),
) -> Attack {
    Attack { name, what, unit, run }
}

/// Those against one of them.
pub(crate) fn all(against: Against) -> &'static [Attack] {
    match against {
        Against::Files => &ALL,
        Against::Http2 => &http2::ALL,
        Against::Proxy => &proxy::ALL,
        Against::Application => &application::ALL,
    }
}

/// Those of HTTP/1.1 and of what lies below.
const ALL: [Attack; 19] = [
    Attack {
        name: "slow-handshake",
        what: "500 connections that send a ClientHello a byte a second each",
        unit: "bytes",
        run: hold::slow_handshakes,
    },
    Attack {
        name: "slow-head",
        what: "500 connections that send a request head a byte a second each",
        unit: "bytes",
        run: hold::slow_heads,
    },
    Attack {
        name: "slow-body",
        what: "500 connections that upload a byte a second each",
        unit: "bytes",
        run: hold::slow_bodies,
    },
    Attack {
        name: "slow-readers",
        what: "500 connections that ask for 64 MiB and read 10 KB/s each",
        unit: "reads",
        run: hold::slow_readers,
    },
    Attack {
        name: "idle",
        what: "10,000 connections that have asked once and stay; one that is ended is made anew",
        unit: "looks",
        run: hold::idle,
    },
    Attack {
        name: "connects",
        what: "2,000 connections a second, each reset at once",
        unit: "connections",
        run: floods::connects,
    },
    Attack {
        name: "handshakes",
        what: "500 full handshakes a second, each left without a request",
        unit: "handshakes",
        run: floods::handshakes,
    },
    Attack {
        name: "hellos",
        what: "one ClientHello over and over: 50 connections at once, 500 a second, left unfinished",
        unit: "connections",
        run: floods::hellos,
    },
    Attack {
        name: "resets",
        what: "200 connections a second, each reset in the midst of a 64 MiB response",
        unit: "connections",
        run: floods::resets,
    },
    Attack {
        name: "garbage",
        what: "1,000 connections a second that send 512 random bytes",
        unit: "connections",
        run: floods::garbage,
    },
    Attack {
        name: "plain-http",
        what: "1,000 connections a second that speak HTTP without TLS",
        unit: "connections",
        run: floods::plain_http,
    },
    Attack {
        name: "pipeline",
        what: "100,000 requests on a connection, pipelined by the thousand, 20,000 a second",
        unit: "requests",
        run: requests::pipeline,
    },
    Attack {
        name: "ranges",
        what: "200 requests a second for a thousand ranges each of a 1 MiB file",
        unit: "requests",
        run: requests::ranges,
    },
    Attack {
        name: "long-paths",
        what: "1,000 requests a second for paths and queries of 8,000 bytes",
        unit: "requests",
        run: requests::long_paths,
    },
    Attack {
        name: "chunks",
        what: "bodies without end in chunks of a byte, 50,000 chunks a second",
        unit: "chunks",
        run: requests::chunks,
    },
    Attack {
        name: "key-updates",
        what: "10,000 KeyUpdate messages a second, a hundred in a row",
        unit: "messages",
        run: records::key_updates,
    },
    Attack {
        name: "empty-records",
        what: "20,000 empty records a second, two hundred in a row",
        unit: "records",
        run: records::empty,
    },
    Attack {
        name: "alerts",
        what: "10,000 warning alerts a second, a hundred in a row",
        unit: "alerts",
        run: records::alerts,
    },
    Attack {
        name: "renegotiation",
        what: "200 connections a second that send another ClientHello within their session",
        unit: "connections",
        run: records::hello_again,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::all;
    use crate::against::Against;

    #[test]
    fn names_are_unique() {
        for against in [Against::Files, Against::Http2, Against::Proxy, Against::Application] {
            let names: HashSet<_> = all(against).iter().map(|attack| attack.name).collect();
            assert_eq!(names.len(), all(against).len());
        }
    }
}
