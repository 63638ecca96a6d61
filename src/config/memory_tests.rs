use super::Bytes;
use crate::config::{
    Action, CertificatePair, CertificateSource, ClientAuth, Config, ErrorContent, IoMode, Limits,
    Route, ServiceId, Site,
};

#[test]
fn the_total_is_the_sum_of_the_parts_and_grows_with_the_workers() {
    let config = Config::default();
    let (one, two) = (config.memory_ceiling(1), config.memory_ceiling(2));
    assert_eq!(one.total(), one.parts().iter().map(|part| part.bytes).sum::<u64>());
    let shared = one.parts().iter().find(|part| part.what == "certificates").unwrap();
    assert_eq!(two.total() - shared.bytes, 2 * (one.total() - shared.bytes));
    let pools = one.parts().iter().find(|part| part.what == "receive buffers").unwrap();
    // Room for the framing of a record, and up to two cache lines between buffers.
    assert_eq!(pools.bytes, 2 * 1_024 * (16_384 + 22 + 128));
}

#[test]
fn certificates_of_both_sides_are_counted() {
    let plain = Config::default();
    let mut more = Config {
        certificate: CertificateSource::Files(vec![
            CertificatePair {
                cert: "c".into(),
                key: "k".into()
            };
            3
        ]),
        ..Config::default()
    };
    let (one, three) = (plain.memory_ceiling(1).total(), more.memory_ceiling(1).total());
    assert_eq!(three - one, 2 * super::CERTIFICATE_BYTES as u64);
    more.client_auth = Some(ClientAuth::required("ca"));
    let handshakes = (more.limits.handshakes * super::CLIENT_CERTIFICATE_BYTES) as u64;
    let asking = more.memory_ceiling(1).total();
    assert_eq!(asking - three, handshakes + super::AUTHORITIES_BYTES as u64);
}

#[test]
fn an_admin_listener_brings_a_history() {
    let mut config = Config::default();
    let without = config.memory_ceiling(2).total();
    config.observe.admin = Some("127.0.0.1:0".parse().unwrap());
    let with = config.memory_ceiling(2).total();
    assert_eq!(with - without, 2 * super::HISTORY_BYTES as u64);
}

#[test]
fn workers_that_poll_have_threads_for_disks() {
    let ring = Config::default();
    let poll = Config { io: IoMode::Poll, ..Config::default() };
    let threads = 2 * super::DISK_THREADS_BYTES as u64;
    let ceiling = poll.memory_ceiling(2);
    assert_eq!(ceiling.total() - ring.memory_ceiling(2).total(), threads);
    assert_eq!(ring.memory_ceiling_where(2, true), ceiling);
    assert!(ceiling.to_string().contains(", disk threads 33 MiB"), "{ceiling}");
}

#[test]
fn a_service_has_exchanges_on_every_connection_and_memory_for_heads_on_every_worker() {
    let action = Action::Service(ServiceId(0));
    let routes = vec![Route::new("/".parse().unwrap(), action)];
    let mut config =
        Config { sites: vec![Site { routes, ..Site::default() }], ..Config::default() };
    let part = |config: &Config, workers| {
        let ceiling = config.memory_ceiling(workers);
        ceiling.parts().iter().find(|part| part.what == "applications").unwrap().bytes
    };
    let limits = &config.limits;
    let exchange = 3 * limits.head_bytes + super::SERVICE_EXCHANGE_BYTES;
    let kept = super::SPARE_FIELDS_BYTES + super::HEAD_BLOCK_BYTES;
    let each = limits.connections * exchange + kept;
    assert_eq!(part(&config, 2), 2 * each as u64);
    config.limits.connections_in_all = 1;
    assert_eq!(part(&config, 3), (exchange + 3 * kept) as u64);
}

#[test]
fn pages_of_errors_are_counted_once_each() {
    let mut config = Config::default();
    let without = config.memory_ceiling(2).total();
    let mut site = Site::default();
    site.errors.insert(404, ErrorContent::File("a".into()));
    site.errors.insert(405, ErrorContent::File("a".into()));
    site.errors.insert(503, ErrorContent::Text("0123456789".into()));
    config.sites = vec![site.clone()];
    let ceiling = config.memory_ceiling(2);
    let part = ceiling.parts().iter().find(|part| part.what == "error pages").unwrap();
    assert_eq!(part.bytes, 2 * ((64 << 10) + 20));
    assert!(ceiling.total() > without);
}

#[test]
fn a_limit_for_each_address_has_its_price() {
    let mut config = Config::default();
    let without = config.memory_ceiling(1).total();
    config.limits.connections_per_address = 5;
    assert_eq!(config.memory_ceiling(1).total(), without + 10_000 * 96);
}

#[test]
fn a_limit_of_all_together_lowers_what_connections_take() {
    let mut config = Config::default();
    let part = |config: &Config, what| {
        let ceiling = config.memory_ceiling(4);
        ceiling.parts().iter().find(|part| part.what == what).unwrap().bytes
    };
    let connections = part(&config, "connections");
    let handshakes = part(&config, "handshakes");
    let observation = part(&config, "observation");
    config.limits.connections_in_all = 20_000;
    assert_eq!(part(&config, "connections"), connections / 2);
    assert_eq!(part(&config, "handshakes"), handshakes, "there may be more connections");
    assert_eq!(part(&config, "observation"), observation, "any worker may have its 10,000");
    config.limits.connections_in_all = 1_024;
    assert_eq!(part(&config, "connections"), connections / 40_000 * 1_024);
    assert_eq!(part(&config, "handshakes"), handshakes / 4);
    assert!(part(&config, "observation") < observation);
    config.limits.connections_in_all = 40_001;
    assert_eq!(part(&config, "connections"), connections, "the smaller one counts");
}

#[test]
fn absurd_limits_saturate() {
    let limits = Limits { connections: usize::MAX, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    assert_eq!(config.memory_ceiling(2).total(), u64::MAX);
}

#[test]
fn bytes_are_readable() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1_023, "1023 bytes"),
        (1_536, "1.5 KiB"),
        (64 << 20, "64 MiB"),
        (5 << 30, "5 GiB"),
    ] {
        assert_eq!(Bytes(bytes).to_string(), text);
    }
}

#[test]
fn the_line_names_every_part() {
    let text = Config::default().memory_ceiling(1).to_string();
    for part in ["receive buffers", "send memory", "file cache", "connections", "handshakes"] {
        assert!(text.contains(part), "{text}");
    }
}
