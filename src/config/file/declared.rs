//! The settings of the whole process, section by section.

use std::{fmt::Display, path::PathBuf};

use super::{
    keys::{Key, Kind},
    settings::{Draft, flag, number, push, put, word},
};
use crate::config::{
    AccessLogTarget, ClientAuthMode, Config, FieldLine, IoMode, KtlsMode, LandlockMode, Limits,
    ListenAddress, LogFormat, Timeouts, TlsVersion,
    units::{bytes, memory, time},
};

/// Before any table.
pub(super) fn process_wide() -> Vec<Key<Draft>> {
    vec![
        Key::text(
            "listen",
            Some("listen"),
            Kind::Texts("ADDR"),
            "127.0.0.1:8443 and [::1]:8443",
            "Address and port to listen on, [::]:PORT for every address; may be repeated",
            |draft: &mut Draft, text| {
                let address: ListenAddress = text.parse().map_err(as_text)?;
                if !draft.listens {
                    draft.config.listen.clear();
                }
                draft.listens = true;
                draft.config.listen.push(address.0);
                Ok(())
            },
        ),
        Key::text(
            "redirect",
            Some("redirect"),
            Kind::Texts("ADDR"),
            "",
            "Address and port at which every request is sent to HTTPS; may be repeated",
            |draft: &mut Draft, text| {
                push(&mut draft.config.redirect, text.parse().map(|ListenAddress(at)| at))
            },
        ),
        Key::text(
            "redirect_port",
            Some("redirect-port"),
            Kind::Number,
            "that of the first address in listen",
            "Port to which redirect sends, where clients reach HTTPS by another than listen has: 443, if \
             a container engine or a balancer publishes 8443 as that",
            |draft: &mut Draft, text| put(&mut draft.config.redirect_port, port(text).map(Some)),
        ),
        Key::text(
            "plain",
            Some("plain"),
            Kind::Texts("ADDR"),
            "",
            "Address and port to serve by HTTP/1.1 without TLS: behind a balancer, for local work; may \
             be repeated",
            |draft: &mut Draft, text| {
                push(&mut draft.config.plain, text.parse().map(|ListenAddress(at)| at))
            },
        ),
        Key::text(
            "workers",
            Some("workers"),
            Kind::Number,
            "the CPUs that this process may use",
            "Worker threads, one ring each",
            |draft, text| put(&mut draft.config.workers, number(text).map(Some)),
        ),
        Key::text(
            "pin",
            Some("no-pin"),
            Kind::NoFlag("Leave the workers to the scheduler instead of pinning each to a CPU"),
            "true",
            "Whether each worker keeps to one CPU, where the CPUs are the server's own",
            |draft, text| put(&mut draft.config.pin, flag(text)),
        ),
        Key::text(
            "io",
            Some("io"),
            Kind::OneOf(&["auto", "ring", "poll"]),
            "auto",
            "What workers run on: io_uring, or epoll where the host refuses io_uring; io_uring alone; \
             or epoll alone",
            |draft, text| {
                let words =
                    [("auto", IoMode::Auto), ("ring", IoMode::Ring), ("poll", IoMode::Poll)];
                put(&mut draft.config.io, word(text, &words))
            },
        ),
    ]
}

fn as_text(error: impl Display) -> String {
    error.to_string()
}

/// A TCP port.
fn port(text: &str) -> Result<u16, String> {
    let port = text.parse::<std::num::NonZeroU16>();
    port.map(Into::into).map_err(|_| "give a port, 1 to 65535".to_owned())
}

/// `[tls]`.
pub(super) fn tls() -> Vec<Key<Draft>> {
    vec![
        Key::text(
            "cert",
            Some("cert"),
            Kind::Paths,
            "",
            "Certificate chain in PEM, leaf first; may be repeated, each with its --key, and is chosen \
             by the name that a client asks for, the first for all others [default: one that Ringway \
             makes and keeps]",
            |draft: &mut Draft, text| {
                draft.certs.push(text.into());
                Ok(())
            },
        ),
        Key::text(
            "key",
            Some("key"),
            Kind::Paths,
            "",
            "Private key in PEM: PKCS#8, SEC1 or PKCS#1; the first belongs to the first --cert, and so \
             on",
            |draft: &mut Draft, text| {
                draft.keys.push(text.into());
                Ok(())
            },
        ),
        Key::text(
            "client_ca",
            Some("client-ca"),
            Kind::Path,
            "",
            "Ask clients for a certificate by an authority in this PEM file",
            |draft, text| put(&mut draft.clients.ca, Ok::<_, String>(Some(text.into()))),
        ),
        Key::text(
            "client_auth",
            Some("client-auth"),
            Kind::OneOf(&["optional", "required"]),
            "required",
            "Whether a client may come without a certificate",
            |draft, text| put(&mut draft.clients.mode, client_mode(text).map(Some)),
        ),
        Key::text(
            "ticket_keys",
            Some("ticket-keys"),
            Kind::Path,
            "keys of this process alone",
            "Keys of session tickets, shared by servers that resume each other's sessions: lines made \
             by `openssl rand -base64 32`; the first seals, all open",
            |draft, text| put(&mut draft.config.ticket_keys, Ok::<_, String>(Some(text.into()))),
        ),
        Key::text(
            "ktls",
            Some("ktls"),
            Kind::OneOf(&["auto", "on", "send", "off"]),
            "auto",
            "Record protection by the kernel: where that costs less, always, for sending alone, or \
             never",
            |draft, text| {
                let words = [
                    ("auto", KtlsMode::Auto),
                    ("on", KtlsMode::On),
                    ("send", KtlsMode::Send),
                    ("off", KtlsMode::Off),
                ];
                put(&mut draft.config.ktls, word(text, &words))
            },
        ),
        Key::text(
            "min",
            Some("tls-min"),
            Kind::OneOf(&["1.2", "1.3"]),
            "1.2",
            "The oldest TLS version to accept",
            |draft, text| {
                let words = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
                put(&mut draft.config.tls_min, word(text, &words))
            },
        ),
        Key::text(
            "http2",
            Some("no-h2"),
            Kind::NoFlag("Offer HTTP/1.1 alone, not HTTP/2"),
            "true",
            "Whether clients are offered HTTP/2",
            |draft, text| put(&mut draft.config.http2, flag(text)),
        ),
    ]
}

pub(super) fn client_mode(text: &str) -> Result<ClientAuthMode, String> {
    let words = [("optional", ClientAuthMode::Optional), ("required", ClientAuthMode::Required)];
    word(text, &words)
}

/// Field lines for all responses, as `--header` gives them. In the file they are rules.
pub(super) fn shared_headers() -> Vec<Key<Draft>> {
    vec![Key::text(
        "header",
        Some("header"),
        Kind::Texts("FIELD"),
        "",
        "Field line for every response, as 'Name: value'; may be repeated",
        |draft: &mut Draft, text| push(&mut draft.config.site.headers, text.parse::<FieldLine>()),
    )]
}

/// `[log]`.
pub(super) fn log() -> Vec<Key<Config>> {
    vec![Key::text(
        "format",
        Some("log-format"),
        Kind::OneOf(&["text", "json"]),
        "text",
        "Form of the log on standard error, and of the access log",
        |config, text| {
            let words = [("text", LogFormat::Text), ("json", LogFormat::Json)];
            put(&mut config.log_format, word(text, &words))
        },
    )]
}

/// `[observe]`.
pub(super) fn observe() -> Vec<Key<Config>> {
    vec![
        Key::text(
            "admin",
            Some("admin"),
            Kind::Text("ADDR"),
            "",
            "Serve metrics and a live page of where time and copies go: 127.0.0.1:PORT or unix:/path",
            |config: &mut Config, text| put(&mut config.observe.admin, text.parse().map(Some)),
        ),
        Key::text(
            "admin_token",
            Some("admin-token"),
            Kind::Path,
            "",
            "File with a token that clients of the admin address have to send, over TLS with the server's \
             certificate; an address that other hosts reach needs this or admin_client_ca",
            |config, text| put(&mut config.observe.admin_token, Ok::<_, String>(Some(text.into()))),
        ),
        Key::text(
            "admin_client_ca",
            Some("admin-client-ca"),
            Kind::Path,
            "",
            "Demand a certificate by an authority in this PEM file of clients of the admin address, over \
             TLS likewise",
            |config, text| {
                put(&mut config.observe.admin_client_ca, Ok::<_, String>(Some(text.into())))
            },
        ),
        Key::text(
            "access_log",
            Some("access-log"),
            Kind::Path,
            "",
            "Write a line for each request, - for standard output; SIGUSR1 opens the file anew",
            |config, text| {
                config.observe.access_log = Some(AccessLogTarget::from(PathBuf::from(text)));
                Ok(())
            },
        ),
        Key::text(
            "access_log_sample",
            Some("access-log-sample"),
            Kind::Number,
            "1",
            "Log one in so many of the requests that were neither slow nor failed",
            |config, text| put(&mut config.observe.access_log_one_in, number(text)),
        ),
        Key::text(
            "access_log_slow",
            Some("access-log-slow"),
            Kind::Time,
            "1s",
            "Log every request that took this long, whatever access_log_sample is",
            |config, text| put(&mut config.observe.access_log_slow, time(text)),
        ),
        Key::text(
            "otlp",
            Some("otlp"),
            Kind::Text("URL"),
            "",
            "Send slow and failed requests as spans to this OpenTelemetry collector: http://HOST:4318",
            |config, text| put(&mut config.observe.otlp, text.parse().map(Some)),
        ),
        Key::text(
            "otlp_slow",
            Some("otlp-slow"),
            Kind::Time,
            "1s",
            "From this time on a request is slow, and becomes a span",
            |config, text| put(&mut config.observe.otlp_slow, time(text)),
        ),
        Key::text(
            "server_timing",
            Some("server-timing"),
            Kind::Flag,
            "false",
            "Send clients the stages of their requests in the field Server-Timing",
            |config, text| put(&mut config.observe.server_timing, flag(text)),
        ),
        Key::text(
            "anatomy",
            Some("no-anatomy"),
            Kind::NoFlag("Neither time stages nor count copies, to measure what that costs"),
            "true",
            "Whether stages are timed and copies counted; off serves to measure what that costs",
            |config, text| put(&mut config.observe.anatomy, flag(text)),
        ),
    ]
}

/// `[process]`.
pub(super) fn process() -> Vec<Key<Config>> {
    vec![
        Key::text(
            "user",
            Some("user"),
            Kind::Text("NAME[:GROUP]"),
            "",
            "Become this user once ports are bound and keys are read; names or numbers",
            |config: &mut Config, text| put(&mut config.process.user, text.parse().map(Some)),
        ),
        Key::text(
            "landlock",
            Some("landlock"),
            Kind::OneOf(&["auto", "on", "off"]),
            "auto",
            "Confine the process to its files by Landlock: where the kernel has it, always, or never",
            |config, text| {
                let words = [
                    ("auto", LandlockMode::Auto),
                    ("on", LandlockMode::On),
                    ("off", LandlockMode::Off),
                ];
                put(&mut config.process.landlock, word(text, &words))
            },
        ),
        Key::text(
            "core_dumps",
            Some("core-dumps"),
            Kind::Flag,
            "false",
            "Let a crash leave a memory image, and debuggers look inside: both see private keys",
            |config, text| put(&mut config.process.core_dumps, flag(text)),
        ),
        Key::text(
            "control",
            None,
            Kind::Path,
            "",
            "Unix socket at which `ringway reload` is answered",
            |config, text| {
                config.process.control = Some(text.into());
                Ok(())
            },
        ),
        Key::text(
            "allow_read",
            None,
            Kind::Paths,
            "",
            "Folders that may be read beside those that the file names at the start, so that a reload \
             may name what is below them",
            |config, text| {
                config.process.allow_read.push(text.into());
                Ok(())
            },
        ),
        Key::text(
            "allow_bind",
            None,
            Kind::Numbers,
            "",
            "TCP ports that may be listened on beside those of the start, so that a reload may name them",
            |config, text| push(&mut config.process.allow_bind, port(text)),
        ),
        Key::text(
            "allow_connect",
            None,
            Kind::Numbers,
            "",
            "TCP ports of servers in pools that may be connected to beside those of the start, likewise",
            |config, text| push(&mut config.process.allow_connect, port(text)),
        ),
    ]
}

/// Declares settings of one struct: key, option, kind and parser, default, field, meaning.
macro_rules! settings {
    ($($key:literal $option:literal $kind:ident $parser:ident $default:literal => $field:ident: $doc:literal;)*) => {
        vec![$(Key::text($key, Some($option), Kind::$kind, $default, $doc, |target, text| {
            put(&mut target.$field, $parser(text))
        })),*]
    };
}

/// `[limits]`.
#[rustfmt::skip]
pub(super) fn limits() -> Vec<Key<Limits>> {
    settings! {
        "connections" "connections" Number number "10000" => connections:
            "Open connections per worker";
        "max_connections" "max-connections" Number number "0" => connections_in_all:
            "Open connections on all workers together, 0 for no limit";
        "max_connections_per_address" "max-connections-per-address" Number number "0" => connections_per_address:
            "Open connections of one address, an IPv6 one by its /64, 0 for no limit";
        "handshakes" "handshakes" Number number "1024" => handshakes:
            "Handshakes in flight per worker";
        "receive_buffers" "receive-buffers" Number number "1024" => receive_buffers:
            "Receive buffers per worker, a power of two";
        "receive_buffer_size" "receive-buffer-size" Size memory "16KiB" => receive_buffer_bytes:
            "Size of one receive buffer";
        "leases_per_connection" "leases-per-connection" Number number "4" => leases_per_connection:
            "Receive buffers that one connection may hold at a time";
        "send_memory" "send-memory" Size memory "8MiB" => send_memory_bytes:
            "Registered send memory per worker";
        "max_head" "max-head" Size memory "16KiB" => head_bytes:
            "Largest request head; beyond it 431";
        "max_fields" "max-fields" Number number "100" => head_fields:
            "Most field lines in a request head; beyond them 431";
        "max_target" "max-target" Size memory "8KiB" => target_bytes:
            "Longest request target; beyond it 414";
        "max_body" "max-body" Size bytes "1MiB" => body_bytes:
            "Largest request body; beyond it 413";
        "max_requests" "max-requests" Number number "1000000" => requests_per_connection:
            "Most requests on one connection";
        "h2_streams" "h2-streams" Number number "100" => h2_streams:
            "Most streams of an HTTP/2 connection at a time";
        "file_cache" "file-cache" Size memory "64MiB" => file_cache_bytes:
            "File content that a worker caches";
        "file_cache_max_file" "file-cache-max-file" Size memory "1MiB" => file_cache_max_file:
            "Largest file that is cached";
        "file_cache_entries" "file-cache-entries" Number number "4096" => file_cache_entries:
            "Most files that a worker knows at a time";
    }
}

/// `[timeouts]`.
#[rustfmt::skip]
pub(super) fn timeouts() -> Vec<Key<Timeouts>> {
    settings! {
        "handshake" "handshake-timeout" Time time "10s" => handshake:
            "For the TLS handshake";
        "head" "head-timeout" Time time "10s" => head:
            "For a request head; beyond it 408";
        "idle" "idle-timeout" Time time "60s" => idle:
            "Between a response and the next request";
        "body" "body-timeout" Time time "10s" => body_progress:
            "Between two pieces of a request body; beyond it 408";
        "body_min_rate" "body-min-rate" Size bytes "500" => body_min_rate:
            "Least bytes per second of a request body, 0 for none";
        "stream_idle" "stream-idle-timeout" Time time "300s" => stream_idle:
            "For silence on an HTTP/2 stream on which both sides speak";
        "tunnel_idle" "tunnel-idle-timeout" Time time "1h" => tunnel_idle:
            "For silence on both sides of a tunnel to an application";
        "process" "process-timeout" Time time "10s" => process:
            "For opening a file or listing a folder; beyond it 503";
        "response" "response-timeout" Time time "30s" => response_stall:
            "Between two advances of a response";
        "response_min_rate" "response-min-rate" Size bytes "500" => response_min_rate:
            "Least bytes per second of a response, 0 for none";
        "close" "close-timeout" Time time "2s" => close:
            "For the last bytes of a connection to leave";
        "drain_delay" "drain-delay" Time time "0s" => drain_delay:
            "How long a server serves on after SIGTERM, while readiness says 503, before it drains";
        "drain" "drain-timeout" Time time "30s" => drain:
            "For requests in flight when the server stops";
    }
}
