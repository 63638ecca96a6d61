//! What is reported of applications: stages, endpoints, layers.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::get,
};
use ringway::{
    config::{AccessLogTarget, Config},
    native::{Head, Outcome, Reply},
    observe::{Anatomy, ApplicationContent, Stage},
};

use super::{
    leaving::until,
    server::{Running, configured},
};

fn handler(head: &Head<'_>, reply: &mut Reply) -> Outcome {
    match head.path() {
        b"/native" => {
            reply.body(b"native");
            Outcome::Done
        }
        b"/late" => Outcome::Later(Box::pin(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Reply::new()
        })),
        _ => Outcome::Pass,
    }
}

fn spin() {
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(5) {
        std::hint::spin_loop();
    }
}

fn server(log: &std::path::Path) -> Running {
    let mut config = Config::default();
    config.observe.access_log = Some(AccessLogTarget::File(log.to_owned()));
    config.observe.server_timing = true;
    let computes = get(|| async {
        spin();
        "computed"
    });
    let waits = get(|| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        "waited"
    });
    let app = Router::new()
        .route("/computes", computes.layer(ringway::endpoint("/computes")))
        .route("/waits", waits.layer(ringway::endpoint("/waits")))
        .route("/plain", get(|| async { "plain" }))
        .layer(ringway::layer("handlers of the test"));
    configured(config, |builder| builder.handler_at("/", handler).service(app))
}

/// The report, once as many requests have been answered.
fn report(server: &Running, requests: u64) -> Anatomy {
    let answered = |anatomy: &Anatomy| anatomy.histograms.stage(Stage::Total).len();
    until(|| answered(&server.get().anatomy()) >= requests);
    server.get().anatomy()
}

/// What the ledger says of answers is what their clients have got.
#[test]
fn content_that_is_gathered_is_copied_and_what_is_long_is_not() {
    const LONG: usize = 3 * 40_000;
    fn frames(count: usize, length: usize) -> Body {
        let frames = vec![Ok::<_, Infallible>(Bytes::from(vec![b'x'; length])); count];
        Body::from_stream(tokio_stream::iter(frames))
    }
    let app = Router::new()
        .route("/short", get(|| async { frames(10, 100) }))
        .route("/long", get(|| async { frames(3, LONG / 3) }));
    let server = configured(Config::default(), |builder| builder.service(app));
    let mut before = ApplicationContent::default();
    for (number, (protocol, path, length)) in
        [("--http1.1", "/short", 1000), ("--http1.1", "/long", LONG), ("--http2", "/long", LONG)]
            .into_iter()
            .enumerate()
    {
        let answer = server.curl(path, &[protocol]);
        assert!(answer.ends_with(&"x".repeat(length)), "{protocol} {path}");
        let now = report(&server, number as u64 + 1).ledger.of_applications;
        let (copied, from_place) = (now.copied - before.copied, now.from_place - before.from_place);
        assert_eq!((copied + from_place, now.files), (length as u64, 0), "{protocol} {path}");
        match path {
            // The beginning of a frame fills the record that its head has begun.
            "/long" => assert!(copied < 3 * 4096, "{protocol}: {copied} of {length}"),
            _ => assert_eq!(from_place, 0, "{protocol} {path}"),
        }
        before = now;
    }
    let json: serde_json::Value =
        serde_json::from_str(&server.get().anatomy().to_json()).expect("a report");
    assert_eq!(json["ledger"]["applications"]["answers"]["copied_bytes"], before.copied);
}

#[test]
fn endpoints_and_their_stages_are_reported_over_both_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let server = server(&log);
    for protocol in ["--http1.1", "--http2"] {
        let waited = server.curl("/waits", &[protocol]).to_lowercase();
        assert!(
            waited.contains("endpoint;desc=\"/waits\"") && waited.contains("waiting;dur="),
            "{waited}"
        );
        let computed = server.curl("/computes", &[protocol]).to_lowercase();
        assert!(computed.contains("handler;dur="), "{computed}");
        // Five milliseconds at least, of which none is another's.
        let named = "layer;desc=\"handlers of the test\";dur=";
        let (_, own) =
            computed.split_once(named).unwrap_or_else(|| panic!("{protocol}: {computed}"));
        let own: String = own.chars().take_while(|of| of.is_ascii_digit() || *of == '.').collect();
        assert!(own.parse::<f64>().unwrap() >= 5.0, "{computed}");
        for path in ["/plain", "/native", "/late"] {
            server.curl(path, &[protocol]);
        }
    }
    let anatomy = report(&server, 10);
    let figures = |name: &str| {
        let ranked = anatomy.endpoints.ranked();
        let found = ranked.iter().find(|(endpoint, _)| endpoint.name() == name);
        found.unwrap_or_else(|| panic!("{name} is not among {ranked:?}")).1
    };
    let (computes, waits) = (figures("/computes"), figures("/waits"));
    assert_eq!((computes.requests, waits.requests), (2, 2));
    assert!(computes.handler >= 10_000_000, "{computes:?}");
    // A poll that is interrupted is the handler's time.
    assert!(waits.waiting > 0 && waits.waiting <= waits.total, "{waits:?}");
    assert!(waits.waiting + waits.handler >= 40_000_000, "{waits:?}");
    // Those of the path of the service, and of the native handler.
    assert_eq!(figures("/").requests, 6);
    assert!(figures("/").waiting > 0);
    let metrics = std::sync::Arc::new(anatomy).to_metrics(ringway::observe::Exposition::Prometheus);
    assert!(
        metrics.contains("ringway_endpoint_requests_total{endpoint=\"/waits\"} 2"),
        "{metrics}"
    );
    let layer = metrics.lines().find_map(|line| {
        line.strip_prefix("ringway_layer_seconds_total{layer=\"handlers of the test\"} ")
    });
    assert!(layer.unwrap().parse::<f64>().unwrap() >= 0.010, "{layer:?}");
    let json: serde_json::Value = serde_json::from_str(&server.get().anatomy().to_json()).unwrap();
    let slowest = json["slowest"].as_array().unwrap();
    assert!(slowest.iter().any(|slow| slow["endpoint"] == "/waits"), "{slowest:?}");
    assert_eq!(server.end().defects, 0);
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(lines.matches(" endpoint=\"/computes\" ").count(), 2, "{lines}");
    assert!(lines.contains(" layer=\"handlers of the test:"), "{lines}");
    assert!(lines.contains(" handler_us=") && lines.contains(" waiting_us="), "{lines}");
}

#[cfg(feature = "axum")]
#[test]
fn routes_of_axum_name_endpoints() {
    let items = Router::new()
        .route("/{id}", get(|| async { "item" }))
        .route_layer(ringway::endpoints_by_route());
    let server = super::server::serve(Router::new().nest("/items", items));
    for id in 0..20 {
        server.curl(&format!("/items/{id}"), &[]);
    }
    let anatomy = report(&server, 20);
    let ranked = anatomy.endpoints.ranked();
    let (endpoint, figures) = ranked[0];
    assert_eq!((endpoint.name().as_str(), figures.requests), ("/items/{id}", 20));
}
