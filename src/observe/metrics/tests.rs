//! What Prometheus makes of the metrics.

use std::{fmt::Write as _, fs, process::Command, sync::Arc};

use super::*;
use crate::observe::{
    Finished, Slow, anatomy::SlowOnWorker, histograms::Recorder, request::HEAD_KEPT, trace::Trace,
};

/// Times from 0.13 ms to 15 s, each a thousandth more than the one before.
fn totals() -> Vec<u64> {
    (0..11_650).map(|at| (130_000.0 * 1.001_f64.powi(at)) as u64).collect()
}

fn anatomy(totals: &[u64]) -> Anatomy {
    let mut recorder = Recorder::default();
    for stage in Stage::ALL {
        for total in totals {
            recorder.record(stage, *total);
        }
    }
    Anatomy { histograms: recorder.histograms(), ..Anatomy::empty() }
}

#[test]
fn prometheus_knows_quantiles_of_requests_and_stages_to_a_tenth() {
    let totals = totals();
    let text = Arc::new(anatomy(&totals)).to_metrics(Exposition::Prometheus);
    let mut test =
        "rule_files: []\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n"
            .to_owned();
    let mut buckets = 0;
    let buckets_of_stages =
        |line: &&str| line.starts_with("ringway_stage_duration_seconds_bucket{");
    for line in text.lines().filter(buckets_of_stages) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let _ = writeln!(test, "      - {{series: '{series}', values: '{value}'}}");
        buckets += 1;
    }
    assert_eq!(buckets, Stage::ALL.map(|stage| bounds::of(stage).len() + 1).iter().sum::<usize>());
    let fine = Stage::ALL.into_iter().filter(|stage| bounds::of(*stage).len() > BOUNDS.len());
    let fine: Vec<_> = fine.map(Stage::name).collect();
    for stage in ["total", "run_queue", "process", "upstream", "handler", "handshake_full"] {
        assert!(fine.contains(&stage), "{stage}");
    }
    test.push_str("    promql_expr_test:\n");
    for quantile in [0.1, 0.5, 0.9, 0.99, 0.999] {
        let exact = totals[(quantile * totals.len() as f64) as usize] as f64 / 1e9;
        let _ = writeln!(
            test,
            "      - expr: count(abs(histogram_quantile({quantile}, sum by (stage, le) \
             (ringway_stage_duration_seconds_bucket{{stage=~\"{}\"}})) / {exact} - 1) < 0.1)\n        \
             eval_time: 0m\n        exp_samples: [{{value: {}, labels: '{{}}'}}]",
            fine.join("|"),
            fine.len(),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.yml");
    fs::write(&path, test).unwrap();
    match Command::new("promtool").args(["test", "rules"]).arg(&path).output() {
        Ok(said) => {
            let text = [said.stdout, said.stderr].concat();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&text));
        }
        Err(error) => eprintln!("skipped: promtool: {error} (apt-get install prometheus)"),
    }
}

#[test]
fn a_slow_request_of_a_trace_is_an_exemplar() {
    let id = "0af7651916cd43dd8448eb211c80319c";
    let trace = Trace::parse(format!("00-{id}-b7ad6b7169203331-01").as_bytes());
    let total = 123_000_000;
    let finished = Finished { total, ..Finished::default() };
    let slow = Slow {
        finished,
        head: [0; HEAD_KEPT],
        head_len: 0,
        trace,
        connections: 1,
        stall: None,
        siblings: None,
    };
    let mut anatomy = anatomy(&[total]);
    anatomy.slowest.push(SlowOnWorker { worker: 0, ago: std::time::Duration::ZERO, slow });
    let anatomy = Arc::new(anatomy);
    let text = anatomy.to_metrics(Exposition::OpenMetrics);
    let with: Vec<_> = text.lines().filter(|line| line.contains(" # {")).collect();
    let [line] = with[..] else { panic!("{with:?}") };
    assert!(line.ends_with(&format!(" 1 # {{trace_id=\"{id}\"}} 0.123")), "{line}");
    let le: f64 = line.split("le=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert!((0.123..0.123 * 1.1).contains(&le), "{line}");
    assert!(!anatomy.to_metrics(Exposition::Prometheus).contains(" # {"));
}
