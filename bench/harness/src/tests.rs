use clap::Parser;
use ringway_load::report::Report;

use crate::options::Options;
use crate::peers::Peer;
use crate::results::{Calls, Entry, PeerResult, Results, WorkloadResult};
use crate::{markdown, measure, page, peers, table, workloads};

/// A report with so many requests for each second of CPU.
pub(crate) fn report(requests_per_cpu_second: f64) -> Report {
    let json = format!(
        r#"{{"version":"0","url":"https://h/","connections":1,"depth":1,"rate":null,"seconds":1.0,
        "requests":100,"requests_per_second":100.0,"body_bytes_per_second":1e6,"failures":{{}},
        "unfinished":0,"missed":0,"latency_mean_us":9.0,"opened":0,"full_handshakes":0,
        "latency_us":[{{"percentile":0.0,"us":1.0}},{{"percentile":50.0,"us":12.0}},
        {{"percentile":99.0,"us":90.0}},{{"percentile":100.0,"us":1000.0}}],
        "resumed_handshakes":0,"idle":0,"idle_closed":0,"slow":0,"slow_closed":0,"slow_bytes":0,
        "client":{{"threads":1,"busy":0.5,"us_per_request":1.0}},
        "server":{{"cpu_seconds":1.0,"cpu_share":1.0,"user_share":0.25,
        "requests_per_cpu_second":{requests_per_cpu_second},"cpu_us_per_request":10.0,
        "body_bytes_per_cpu_second":1e6,"switches_per_1000":0.0,"threads":1,
        "resident_at_rest":1,"resident":1048576,"resident_peak":1048576,"idle_connection":null}}}}"#
    );
    serde_json::from_str(&json).unwrap()
}

pub(crate) fn results(ringway: &[f64], nginx: &[f64]) -> Results {
    let entry = |peer: &str, rounds: &[f64]| Entry {
        peer: peer.into(),
        rounds: rounds.iter().copied().map(report).collect(),
        calls: Some(Calls {
            per_request: 0.25,
            enters_per_request: 0.125,
            moved_per_byte: Some(2.5),
        }),
        uncounted: None,
        repeated: 0,
        failure: rounds.is_empty().then(|| "it <fell> over".into()),
    };
    let peer = |name: &str, missing: Option<&str>| PeerResult {
        name: name.into(),
        version: "1.0".into(),
        what: "files".into(),
        passes: "two".into(),
        missing: missing.map(Into::into),
    };
    Results {
        rounds: ringway.len(),
        peers: vec![peer("ringway", None), peer("nginx", None), peer("caddy", Some("not here"))],
        workloads: vec![WorkloadResult {
            name: "1k-64".into(),
            title: "1 KB".into(),
            rate: None,
            skipped: None,
            entries: vec![entry("ringway", ringway), entry("nginx", nginx)],
        }],
        ..Results::default()
    }
}

#[test]
fn the_table_tells_ratios_and_what_is_missing() {
    let text = table::render(&results(&[200.0, 220.0, 210.0], &[100.0, 110.0, 100.0]));
    assert!(text.contains("MISSING: not here"), "{text}");
    let nginx = text.lines().rfind(|line| line.starts_with("nginx")).unwrap();
    assert!(
        nginx.ends_with("2.00 x (2.00-2.10)") && nginx.contains("0.25") && nginx.contains("0.12"),
        "{text}"
    );
    let failed = table::render(&results(&[200.0], &[]));
    assert!(failed.contains("FAILED: it <fell> over"), "{failed}");
}

#[test]
fn the_page_stands_alone_and_is_closed() {
    let page = page::render(&results(&[200.0, 220.0], &[]), None);
    assert!(page.contains("it &lt;fell&gt; over") && page.contains("<b>missing</b>: not here"));
    for element in ["svg", "figure", "table", "details", "div", "nav", "main"] {
        let open = page.matches(&format!("<{element} ")).count()
            + page.matches(&format!("<{element}>")).count();
        assert_eq!(open, page.matches(&format!("</{element}>")).count(), "{element}");
    }
    assert!(page.matches("<svg").count() >= 4);
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
}

#[test]
fn results_survive_their_file() {
    let results = results(&[1.5], &[2.5]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::to_string(&results).unwrap()).unwrap();
    let back = crate::results::Results::load(file.path()).unwrap();
    assert_eq!(table::render(&back), table::render(&results));
    std::fs::write(file.path(), "{}").unwrap();
    assert!(crate::results::Results::load(file.path()).is_err());
}

#[test]
fn the_text_tells_who_won_what_was_lost_and_who_failed() {
    let won = markdown::render(&results(&[200.0, 220.0, 210.0], &[100.0, 110.0, 100.0]), None);
    assert!(won.contains("| 1 KB | 2.00 |"), "{won}");
    assert!(won.contains("2.00 (2.00–2.10) |") && won.contains("Nothing beyond noise"), "{won}");
    assert!(won.contains("**missing**: not here"), "{won}");

    assert!(won.contains("**1 KB: for each second of CPU, Ringway answers 2.00 × nginx"), "{won}");
    let bars: Vec<usize> = won.lines().map(|line| line.matches('█').count()).collect();
    assert_eq!(bars.into_iter().filter(|bar| *bar > 0).collect::<Vec<_>>(), [40, 19]);

    let mut bound = results(&[90.0, 91.0], &[100.0, 101.0]);
    bound.workloads[0].entries[1].peer = "bound-uring".into();
    bound.peers[1].name = "bound-uring".into();
    let apart = markdown::render(&bound, None);
    let (servers, distance) = apart.split_once("## The distance to the bounds").unwrap();
    assert!(distance.contains("| 1 KB | **0.90** |"), "{apart}");
    assert!(
        !servers.contains("bound-uring") && servers.contains("Nothing beyond noise"),
        "{apart}"
    );
    let lost = markdown::render(&results(&[90.0, 91.0], &[100.0, 101.0]), None);
    assert!(lost.contains("- To **nginx**: `1k-64` by requests"), "{lost}");
    assert!(lost.contains("Ringway has to improve"), "{lost}");

    let failed = markdown::render(&results(&[200.0], &[]), None);
    assert!(failed.contains("nginx: it <fell> over") && failed.contains("a single round"));
    let columns = |line: &&str| line.matches(" |").count();
    let table: Vec<_> =
        won.lines().filter(|line| line.starts_with("| ") && columns(line) > 8).collect();
    assert!(table.len() == 3 && table.iter().all(|line| columns(line) == columns(&table[0])));
}

fn options(arguments: &str) -> Options {
    Options::parse_from(["ringway-bench"].into_iter().chain(arguments.split_ascii_whitespace()))
}

#[test]
fn ringway_always_takes_part() {
    let named = |arguments| -> Vec<_> {
        peers::chosen(&options(arguments)).into_iter().map(|peer| peer.name).collect()
    };
    assert_eq!(
        named("--quick --peer nginx --peer actix"),
        ["ringway", "ringway-http1", "nginx", "actix"]
    );
    assert_eq!(
        named("--workload two-workers --peer nginx"),
        ["ringway", "ringway-2", "ringway-2-on-1"]
    );
    // On epoll where that is asked for.
    assert_eq!(named("").len(), peers::ALL.len() - 1);
    assert!(named("--peer ringway-poll").contains(&"ringway-poll"));
    assert!(named("--peer hyper").contains(&"hyper-file"));
    assert!(!named("--peer =hyper").contains(&"hyper-file"));
}

#[test]
fn two_workers_are_compared_with_one_alone() {
    let two = workloads::ALL.iter().find(|workload| workload.name == "two-workers").unwrap();
    let named = |workload| -> Vec<_> {
        peers::ALL.iter().filter(|p| p.takes_part(workload)).map(|peer| peer.name).collect()
    };
    assert_eq!(named(two), ["ringway", "ringway-2", "ringway-2-on-1"]);
    assert!(!named(&workloads::ALL[0]).contains(&"ringway-2"));
    assert!(!named(&workloads::ALL[0]).contains(&"ringway-http1"));
}

#[test]
fn http2_is_compared_with_those_who_speak_it_and_with_our_own_http1() {
    let known = |name| peers::ALL.iter().find(|peer| peer.name == name).unwrap();
    for workload in workloads::ALL.iter().filter(|workload| workload.http1.is_some()) {
        let named: Vec<_> =
            peers::ALL.iter().filter(|p| p.takes_part(workload)).map(|peer| peer.name).collect();
        let ours = ["ringway", "ringway-http1", "ringway-poll"];
        let expected = [&ours[..], &["h2o", "nginx", "haproxy", "caddy", "hyper"]].concat();
        assert_eq!(named, expected);
        assert_eq!(known("h2o").loaded_with(workload)[0], "--h2");
        // As many connections over HTTP/1.1 as streams over HTTP/2.
        let number = |options: &[&str], name| -> usize {
            let place = options.iter().position(|option| *option == name).unwrap();
            options[place + 1].parse().unwrap()
        };
        let http1 = known("ringway-http1").loaded_with(workload);
        let streams = number(workload.options, "-c") * number(workload.options, "--streams");
        assert_eq!((http1.len(), number(http1, "-c")), (2, streams));
    }
}

#[test]
fn the_quick_set_takes_four_minutes_and_the_full_one_three_quarters_of_an_hour() {
    // With what disturbed rounds are repeated in.
    let time = |arguments| {
        let options = options(arguments);
        let wanted = |peer: &Peer| peer.wanted(&options).is_ok();
        let present: Vec<Peer> = peers::ALL.into_iter().filter(wanted).collect();
        options.limit(measure::expected(&options, &present, &workloads::chosen(&options)))
    };
    let (quick, full) = (time("--quick"), time(""));
    assert!((60.0..=240.0).contains(&quick), "{quick} s");
    assert!((600.0..=2700.0).contains(&full), "{full} s");
    assert!(time("--workload 1k-64") < full / 4.0);
    assert!(time("--no-repeats") < full);
}

#[test]
fn the_command_measures_the_same() {
    let given = "--quick --workload 1k --peer nginx --rounds 2 --seconds 0.5";
    assert_eq!(options(given).command(), format!("scripts/bench {given}"));
}
