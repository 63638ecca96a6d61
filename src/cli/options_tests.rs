use super::*;
use crate::config::{
    AccessLogTarget, CertificatePair, CertificateSource, ClientAuth, ClientAuthMode, IoMode,
    KtlsMode, LandlockMode, Limits, LogFormat, ObserveOptions, ProcessOptions, Timeouts,
    TlsVersion,
};
use clap::CommandFactory;

fn config(options: &[&str]) -> Config {
    let line = ["ringway", "serve"].into_iter().chain(options.iter().copied());
    match Cli::try_parse_from(line).unwrap().command {
        Command::Serve(serve) => serve.config().unwrap(),
        other => panic!("not serve: {other:?}"),
    }
}

fn refusal(line: &[&str]) -> String {
    let line = std::iter::once("ringway").chain(line.iter().copied());
    Cli::try_parse_from(line).unwrap_err().to_string()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn no_options_mean_the_defaults() {
    assert_eq!(config(&[]), Config::default());
}

#[test]
fn every_option_finds_its_place() {
    let config = config(&[
        "site",
        "--listen=0.0.0.0:443",
        "--listen=[::]:443",
        "--workers=3",
        "--no-pin",
        "--io=poll",
        "--redirect-port=443",
        "--cert=chain.pem",
        "--key=key.pem",
        "--cert=second.pem",
        "--key=second.key",
        "--client-ca=clients.pem",
        "--client-auth=optional",
        "--ticket-keys=tickets",
        "--ktls=on",
        "--tls-min=1.3",
        "--spa=app.html",
        "--listing",
        "--no-follow",
        "--index=start.html",
        "--header=X-One: 1",
        "--header=X-Two: 2",
        "--no-h2",
        "--log-format=json",
        "--admin=unix:/run/ringway.sock",
        "--admin-token=token",
        "--admin-client-ca=scrapers.pem",
        "--access-log=-",
        "--access-log-sample=100",
        "--access-log-slow=250ms",
        "--otlp=http://127.0.0.1",
        "--otlp-slow=300ms",
        "--server-timing",
        "--no-anatomy",
        "--user=www-data:web",
        "--landlock=off",
        "--core-dumps",
    ]);
    assert_eq!(config.root, PathBuf::from("site"));
    assert_eq!(config.listen, ["0.0.0.0:443".parse().unwrap(), "[::]:443".parse().unwrap()]);
    assert_eq!((config.workers, config.pin, config.io), (Some(3), false, IoMode::Poll));
    let pair = |cert: &str, key: &str| CertificatePair { cert: cert.into(), key: key.into() };
    assert_eq!(
        config.certificate,
        CertificateSource::Files(vec![
            pair("chain.pem", "key.pem"),
            pair("second.pem", "second.key")
        ])
    );
    let clients = ClientAuth { ca: "clients.pem".into(), mode: ClientAuthMode::Optional };
    assert_eq!(config.client_auth, Some(clients));
    assert_eq!(config.ticket_keys, Some("tickets".into()));
    assert_eq!(config.redirect_port, Some(443));
    assert_eq!((config.ktls, config.tls_min), (KtlsMode::On, TlsVersion::V13));
    assert!(!config.http2);
    assert_eq!(config.site.spa, Some("app.html".into()));
    assert!(config.site.listing && !config.site.follow_links);
    assert_eq!(config.site.index, "start.html");
    let names: Vec<_> = config.site.headers.iter().map(FieldLine::name).collect();
    assert_eq!(names, ["X-One", "X-Two"]);
    assert_eq!(config.log_format, LogFormat::Json);
    let observe = ObserveOptions {
        admin: Some("unix:/run/ringway.sock".parse().unwrap()),
        admin_token: Some("token".into()),
        admin_client_ca: Some("scrapers.pem".into()),
        access_log: Some(AccessLogTarget::Stdout),
        access_log_one_in: 100,
        access_log_slow: std::time::Duration::from_millis(250),
        otlp: Some("http://127.0.0.1:4318/v1/traces".parse().unwrap()),
        otlp_slow: std::time::Duration::from_millis(300),
        server_timing: true,
        anatomy: false,
    };
    assert_eq!(config.observe, observe);
    let process = ProcessOptions {
        user: Some("www-data:web".parse().unwrap()),
        landlock: LandlockMode::Off,
        core_dumps: true,
        ..ProcessOptions::default()
    };
    assert_eq!(config.process, process);
}

#[test]
fn every_limit_and_timeout_is_an_option() {
    let config = config(&[
        "--connections=1",
        "--max-connections=17",
        "--max-connections-per-address=16",
        "--handshakes=2",
        "--receive-buffers=4",
        "--receive-buffer-size=5KiB",
        "--leases-per-connection=6",
        "--send-memory=7MiB",
        "--max-head=8KiB",
        "--max-fields=9",
        "--max-target=10KiB",
        "--max-body=11MiB",
        "--max-requests=12",
        "--h2-streams=18",
        "--file-cache=13MiB",
        "--file-cache-max-file=14KiB",
        "--file-cache-entries=15",
        "--handshake-timeout=1s",
        "--head-timeout=2s",
        "--idle-timeout=3m",
        "--body-timeout=4s",
        "--body-min-rate=5",
        "--stream-idle-timeout=8s",
        "--tunnel-idle-timeout=20s",
        "--process-timeout=9s",
        "--response-timeout=6s",
        "--response-min-rate=7KiB",
        "--close-timeout=800ms",
        "--drain-delay=19s",
        "--drain-timeout=1h",
    ]);
    let limits = Limits {
        connections: 1,
        connections_in_all: 17,
        connections_per_address: 16,
        handshakes: 2,
        receive_buffers: 4,
        receive_buffer_bytes: 5 << 10,
        leases_per_connection: 6,
        send_memory_bytes: 7 << 20,
        head_bytes: 8 << 10,
        head_fields: 9,
        target_bytes: 10 << 10,
        body_bytes: 11 << 20,
        requests_per_connection: 12,
        h2_streams: 18,
        file_cache_bytes: 13 << 20,
        file_cache_max_file: 14 << 10,
        file_cache_entries: 15,
    };
    let timeouts = Timeouts {
        handshake: Duration::from_secs(1),
        head: Duration::from_secs(2),
        idle: Duration::from_secs(180),
        body_progress: Duration::from_secs(4),
        body_min_rate: 5,
        stream_idle: Duration::from_secs(8),
        tunnel_idle: Duration::from_secs(20),
        process: Duration::from_secs(9),
        response_stall: Duration::from_secs(6),
        response_min_rate: 7 << 10,
        close: Duration::from_millis(800),
        drain_delay: Duration::from_secs(19),
        drain: Duration::from_secs(3_600),
    };
    assert_eq!((config.limits, config.timeouts), (limits, timeouts));
}

#[test]
fn a_certificate_needs_its_key_and_a_key_its_certificate() {
    assert!(refusal(&["serve", "--cert=c.pem"]).contains("--key <FILE>"));
    assert!(refusal(&["serve", "--key=k.pem"]).contains("--cert <FILE>"));
    let line = ["ringway", "serve", "--cert=a", "--cert=b", "--key=c"];
    let Command::Serve(serve) = Cli::try_parse_from(line).unwrap().command else { panic!() };
    assert!(serve.config().unwrap_err().to_string().contains("2 --cert and 1 --key"));
}

#[test]
fn clients_are_asked_for_certificates_only_by_an_authority() {
    assert!(refusal(&["serve", "--client-auth=required"]).contains("--client-ca <FILE>"));
    let clients = config(&["--client-ca=clients.pem"]).client_auth;
    assert_eq!(clients, Some(ClientAuth::required("clients.pem")));
}

#[test]
fn refusals_say_what_to_do() {
    for (line, says) in [
        (["serve", "--header=X: a\r\nY: b"], "control character"),
        (["serve", "--header=Content-Length: 1"], "Ringway alone sets it"),
        (["serve", "--idle-timeout=60"], "60s"),
        (["serve", "--max-body=1.5MiB"], "use KiB, MiB"),
        (["serve", "--listen=localhost:80"], "[::]:80 for every address"),
        (["serve", "--admin=9000"], "unix:/path"),
        (["serve", "--user=a:b:c"], "NAME:GROUP"),
        (["serve", "--ktls=maybe"], "[possible values: auto, on, send, off]"),
    ] {
        let text = refusal(&line);
        assert!(text.contains(says), "{text}");
    }
}

/// The defaults that the help promises are those of the configuration.
#[test]
fn the_help_tells_the_true_defaults() {
    let mut command = Cli::command();
    let help = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
    let promised = |flag: &str| -> String {
        let after = &help[help.find(&format!("--{flag} <")).expect(flag)..];
        let from = after.find("[default: ").expect(flag) + "[default: ".len();
        after[from..].split(']').next().unwrap().to_owned()
    };
    let (limits, times) = (Limits::default(), Timeouts::default());
    for (flag, value) in [
        ("connections", limits.connections as u64),
        ("max-connections", limits.connections_in_all as u64),
        ("max-connections-per-address", limits.connections_per_address as u64),
        ("handshakes", limits.handshakes as u64),
        ("receive-buffers", limits.receive_buffers as u64),
        ("receive-buffer-size", limits.receive_buffer_bytes as u64),
        ("leases-per-connection", limits.leases_per_connection as u64),
        ("send-memory", limits.send_memory_bytes as u64),
        ("max-head", limits.head_bytes as u64),
        ("max-fields", limits.head_fields as u64),
        ("max-target", limits.target_bytes as u64),
        ("max-body", limits.body_bytes),
        ("max-requests", limits.requests_per_connection),
        ("h2-streams", limits.h2_streams as u64),
        ("file-cache", limits.file_cache_bytes as u64),
        ("file-cache-max-file", limits.file_cache_max_file as u64),
        ("file-cache-entries", limits.file_cache_entries as u64),
        ("body-min-rate", times.body_min_rate),
        ("response-min-rate", times.response_min_rate),
    ] {
        assert_eq!(units::bytes(&promised(flag)), Ok(value), "{flag}");
    }
    for (flag, value) in [
        ("handshake-timeout", times.handshake),
        ("head-timeout", times.head),
        ("idle-timeout", times.idle),
        ("body-timeout", times.body_progress),
        ("stream-idle-timeout", times.stream_idle),
        ("tunnel-idle-timeout", times.tunnel_idle),
        ("process-timeout", times.process),
        ("response-timeout", times.response_stall),
        ("close-timeout", times.close),
        ("drain-timeout", times.drain),
    ] {
        assert_eq!(units::time(&promised(flag)), Ok(value), "{flag}");
    }
}

#[test]
fn the_help_is_grouped_and_names_the_exit_codes() {
    let mut command = Cli::command();
    let program = command.render_help().to_string();
    for line in ["serve", "doctor", "man", "completions", "Exit codes:", "3    this host lacks"] {
        assert!(program.contains(line), "{line}");
    }
    let serve = command.find_subcommand_mut("serve").unwrap().render_help().to_string();
    for heading in ["TLS:", "Site:", "Log:", "Observation:", "Privileges:", "Limits:", "Timeouts:"]
    {
        assert!(serve.contains(&format!("\n{heading}\n")), "{heading}\n{serve}");
    }
}

/// The tables of the README name options that exist.
#[test]
fn the_readme_names_true_options() {
    let mut command = Cli::command();
    let help = command.find_subcommand_mut("serve").unwrap().render_help().to_string();
    let readme = include_str!("../../README.md");
    let mut named = 0;
    for row in readme.lines().filter(|line| line.starts_with('|')) {
        for (at, _) in row.match_indices("--").filter(|(at, _)| row[..*at].ends_with('`')) {
            let end = row[at + 2..].find(|c: char| c != '-' && !c.is_ascii_lowercase());
            let option = &row[at..end.map_or(row.len(), |end| at + 2 + end)];
            let known =
                help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n"));
            assert!(known, "{option}");
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

/// What `config from-options` prints means the same as the options.
#[test]
fn options_and_the_file_of_them_mean_the_same() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.html"), "x").unwrap();
    let root = folder.path().to_str().unwrap();
    let options = [
        root,
        "--listen=0.0.0.0:443",
        "--listen=127.0.0.2:1",
        "--workers=3",
        "--no-pin",
        "--cert=/a/chain.pem",
        "--key=/a/key.pem",
        "--cert=/a/second.pem",
        "--key=/a/second.key",
        "--client-ca=/a/clients.pem",
        "--tls-min=1.3",
        "--spa=app.html",
        "--no-follow",
        "--header=X-One: 1 \"quoted\"",
        "--header=X-Two: 2",
        "--header=X-One: 3",
        "--no-h2",
        "--access-log=-",
        "--server-timing",
        "--max-body=11MiB",
        "--idle-timeout=3m",
    ];
    let wanted = config(&options);
    let line = ["ringway", "config", "from-options"].into_iter().chain(options);
    let Command::Config { what: ConfigCommand::FromOptions(serve) } =
        Cli::try_parse_from(line).unwrap().command
    else {
        panic!("not from-options");
    };
    let text = serve.settings.to_file(serve.root());
    let read = crate::config::file::read(&text, Path::new("/ringway.toml"));
    let read = read.unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let fields = |config: &Config| {
        let site = &config.sites_in_force()[0];
        let mut lines: Vec<_> = site.headers.lines().map(|line| format!("{line:?}")).collect();
        lines.sort();
        (site.routes.clone(), lines)
    };
    assert_eq!(fields(&read), fields(&wanted));
    let rest = |config: Config| {
        let Config { root: _, site: _, sites: _, .. } = &config;
        Config {
            root: "/".into(),
            site: crate::config::SiteOptions::default(),
            sites: Vec::new(),
            ..config
        }
    };
    assert_eq!(rest(read), rest(wanted));
}

#[test]
fn a_file_stands_alone() {
    assert!(refusal(&["serve", "site", "--config=x.toml"]).contains("--config"));
}
