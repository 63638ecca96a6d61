//! The list of those that are measured.

use super::{Kind, OVER_HTTP1, POLLING, Peer, RINGWAY, TWO_ON_ONE, TWO_WORKERS};

const CACHED: &str = "copy into rustls, seal, copy to the socket";

const IN_MEMORY: &str = "its bodies were read when it started: no file is looked up or watched \
    for changes, and no conditions or ranges are judged";

const NO_HTTP: &str = "it does no HTTP; no request is parsed, no file looked up, no head written; \
    it shows what nobody can save, and is not there to be beaten";

/// All that take part.
pub(crate) const ALL: [Peer; 18] = [
    Peer {
        name: RINGWAY,
        what: "files, metadata, Date; one worker",
        passes: "see its ledger",
        spares: "",
        serious: true,
        quick: true,
        http2: true,
        kind: Kind::Ringway { workers: 1, cpus: 1, ktls: "auto", io: "auto" },
    },
    Peer {
        name: TWO_WORKERS,
        what: "the same with two workers on two CPUs, beside Ringway with one only",
        passes: "see its ledger",
        spares: "",
        serious: false,
        quick: true,
        http2: false,
        kind: Kind::Ringway { workers: 2, cpus: 2, ktls: "auto", io: "auto" },
    },
    Peer {
        name: TWO_ON_ONE,
        what: "the same with two workers on the one CPU",
        passes: "see its ledger",
        spares: "",
        serious: false,
        quick: true,
        http2: false,
        kind: Kind::Ringway { workers: 2, cpus: 1, ktls: "auto", io: "auto" },
    },
    Peer {
        name: OVER_HTTP1,
        what: "Ringway over HTTP/1.1 with a connection for each stream, beside itself over HTTP/2",
        passes: "see its ledger",
        spares: "",
        serious: false,
        quick: true,
        http2: true,
        kind: Kind::Ringway { workers: 1, cpus: 1, ktls: "auto", io: "auto" },
    },
    Peer {
        name: POLLING,
        what: "the same on epoll (--io poll), beside itself on io_uring",
        passes: "see its ledger",
        spares: "",
        serious: false,
        quick: false,
        http2: true,
        kind: Kind::Ringway { workers: 1, cpus: 1, ktls: "auto", io: "poll" },
    },
    Peer {
        name: "h2o",
        what: "files by file.dir; one thread",
        passes: "read, seal, copy to the socket",
        spares: "",
        serious: false,
        quick: true,
        http2: true,
        kind: Kind::H2o,
    },
    Peer {
        name: "nginx",
        what: "files with sendfile and open_file_cache; one worker",
        passes: "read, seal with a copy inside OpenSSL, copy to the socket",
        spares: "",
        serious: true,
        quick: true,
        http2: true,
        kind: Kind::Nginx { ktls: false },
    },
    Peer {
        name: "haproxy",
        what: "fixed answers from memory, up to 16 KB; one thread",
        passes: "copy to the buffer, seal, copy to the socket",
        spares: "its body is read once, when it starts, and its validators are made up: no file is looked \
            up, and there are no conditions or ranges",
        serious: true,
        quick: true,
        http2: true,
        kind: Kind::Haproxy,
    },
    Peer {
        name: "caddy",
        what: "file_server; GOMAXPROCS=1",
        passes: "read, seal, copy to the socket",
        spares: "",
        serious: false,
        quick: false,
        http2: true,
        kind: Kind::Caddy,
    },
    Peer {
        name: "hyper",
        what: "body in memory; tokio, tokio-rustls, one thread",
        passes: CACHED,
        spares: IN_MEMORY,
        serious: true,
        quick: true,
        http2: true,
        kind: Kind::Library {
            program: "peer-hyper",
            options: &[],
            crates: &["hyper", "tokio", "rustls"],
        },
    },
    Peer {
        name: "hyper-file",
        what: "file read for each request; tokio, tokio-rustls, one thread",
        passes: "read, copy into rustls, seal, copy to the socket",
        spares: "it judges no conditions or ranges",
        serious: false,
        quick: false,
        http2: false,
        kind: Kind::Library {
            program: "peer-hyper",
            options: &["--read-files"],
            crates: &["hyper", "tokio", "rustls"],
        },
    },
    Peer {
        name: "axum",
        what: "tower-http ServeDir; tokio, tokio-rustls, one thread and tokio's file threads",
        passes: "read, copy into rustls, seal, copy to the socket",
        spares: "",
        serious: false,
        quick: false,
        http2: false,
        kind: Kind::Library {
            program: "peer-axum",
            options: &[],
            crates: &["axum", "tower-http", "hyper", "tokio", "rustls"],
        },
    },
    Peer {
        name: "actix",
        what: "body in memory; actix-web, one worker",
        passes: CACHED,
        spares: IN_MEMORY,
        serious: true,
        quick: true,
        http2: false,
        kind: Kind::Library {
            program: "peer-actix",
            options: &[],
            crates: &["actix-web", "tokio", "rustls"],
        },
    },
    Peer {
        name: "tokio-uring",
        what: "a small responder, body in memory; io_uring, one thread",
        passes: CACHED,
        spares: IN_MEMORY,
        serious: true,
        quick: true,
        http2: false,
        kind: Kind::Library {
            program: "peer-tokio-uring",
            options: &[],
            crates: &["tokio-uring", "httparse", "rustls"],
        },
    },
    Peer {
        name: "monoio",
        what: "a small responder, body in memory; io_uring, one thread",
        passes: CACHED,
        spares: IN_MEMORY,
        serious: true,
        quick: true,
        http2: false,
        kind: Kind::Library {
            program: "peer-monoio",
            options: &[],
            crates: &["monoio", "httparse", "rustls"],
        },
    },
    Peer {
        name: "compio",
        what: "hyper on compio, body in memory; io_uring, one thread",
        passes: "copy into rustls, seal, copy to a buffer, copy to the socket",
        spares: IN_MEMORY,
        serious: true,
        quick: false,
        http2: false,
        kind: Kind::Library {
            program: "peer-compio",
            options: &[],
            crates: &["compio", "cyper-core", "hyper", "rustls"],
        },
    },
    Peer {
        name: "bound-uring",
        what: "no HTTP: the least that io_uring and TLS records cost",
        passes: "copy to registered memory, seal, copy to the socket",
        spares: NO_HTTP,
        serious: false,
        quick: true,
        http2: false,
        kind: Kind::Bound { program: "bound-uring" },
    },
    Peer {
        name: "bound-epoll",
        what: "no HTTP: the least that epoll and TLS records cost",
        passes: "copy to a buffer, seal, copy to the socket",
        spares: NO_HTTP,
        serious: false,
        quick: true,
        http2: false,
        kind: Kind::Bound { program: "bound-epoll" },
    },
];

/// Those whose instructions are counted where the kernel can do TLS: with its help and without.
pub(crate) const COUNTED: [Peer; 8] = [
    counted("ringway-off", "--ktls off", alone("off", "auto")),
    counted("ringway-on", "--ktls on", alone("on", "auto")),
    counted("ringway-send", "--ktls send", alone("send", "auto")),
    counted("ringway-auto", "--ktls auto", alone("auto", "auto")),
    counted("ringway-poll-off", "--io poll --ktls off", alone("off", "poll")),
    counted("ringway-poll-on", "--io poll --ktls on", alone("on", "poll")),
    counted("nginx", "sendfile, open_file_cache", Kind::Nginx { ktls: false }),
    counted(
        "nginx-ktls",
        "the same, and ssl_conf_command Options KTLS",
        Kind::Nginx { ktls: true },
    ),
];

const fn alone(ktls: &'static str, io: &'static str) -> Kind {
    Kind::Ringway { workers: 1, cpus: 1, ktls, io }
}

const fn counted(name: &'static str, what: &'static str, kind: Kind) -> Peer {
    Peer { name, what, passes: "", spares: "", serious: false, quick: false, http2: false, kind }
}
