//! A report as lines of text. Pure.

use std::fmt::Write as _;

use serde_json::Value;

use super::figures::{items, number, percent, short, since, text, time};

/// The room for text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    columns: usize,
    /// None: as many as there is to say.
    rows: Option<usize>,
    colour: bool,
}

/// Columns of a bar.
const BAR: usize = 20;

/// Slow requests that are listed, at most.
const SLOWEST: usize = 12;

/// Endpoints of applications that are listed, at most.
const ENDPOINTS: usize = 6;

/// Reasons of ends that are listed, at most.
const ENDS: usize = 4;

/// Beyond this share of its time a worker lacks a processor.
const LACKS: f64 = 0.05;

impl Screen {
    /// `columns` are taken as 200 where they are not known, as in a file or a pipe, and kept between 60 and
    /// 200.
    pub(super) fn new(columns: Option<usize>, rows: Option<usize>, colour: bool) -> Self {
        Self { columns: columns.unwrap_or(200).clamp(60, 200), rows, colour }
    }

    /// Draws a report: what fits.
    pub(super) fn draw(&self, report: &Value) -> String {
        let mut lines = Vec::new();
        heading(report, &mut lines);
        attention(report, &mut lines);
        rates(report, &mut lines);
        lines.push(Line::default());
        stages(report, &mut lines);
        lines.push(Line::default());
        workers(report, &mut lines);
        lines.push(Line::default());
        applications(report, &mut lines);
        slowest(report, &mut lines);
        // The cursor stands in a line of its own.
        let rows = self.rows.map_or(usize::MAX, |rows| rows.saturating_sub(1));
        let mut out = String::new();
        for line in lines.iter().take(rows) {
            self.push(&mut out, line);
        }
        out
    }

    /// Text in lines that fit.
    pub(super) fn cut(&self, text: &str) -> String {
        let mut out = String::new();
        text.lines().for_each(|line| self.push(&mut out, &Line::plain(line)));
        out
    }

    fn push(&self, out: &mut String, line: &Line) {
        // What clients sent must not command the terminal.
        let text = line.text.chars().map(|c| if c.is_control() { '?' } else { c });
        let text: String = text.take(self.columns).collect();
        let code = match line.weight {
            Weight::Plain => None,
            Weight::Strong => Some(1),
            Weight::Soft => Some(2),
            Weight::Bad => Some(31),
        };
        match code.filter(|_| self.colour) {
            Some(code) => _ = writeln!(out, "\x1b[{code}m{}\x1b[0m", text.trim_end()),
            None => _ = writeln!(out, "{}", text.trim_end()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
enum Weight {
    #[default]
    Plain,
    Strong,
    Soft,
    Bad,
}

#[derive(Debug, Default)]
struct Line {
    text: String,
    weight: Weight,
}

impl Line {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), weight: Weight::Plain }
    }

    fn of(weight: Weight, text: impl Into<String>) -> Self {
        Self { text: text.into(), weight }
    }
}

/// The length of the time that the report is about, in seconds.
fn seconds(report: &Value) -> f64 {
    let window = report.get("window").map_or(0.0, |window| number(window, "seconds"));
    let uptime = number(&report["server"], "uptime_seconds");
    (if window > 0.0 { window } else { uptime }).max(1e-3)
}

fn heading(report: &Value, lines: &mut Vec<Line>) {
    let server = &report["server"];
    let addresses: Vec<_> = items(server, "addresses").iter().filter_map(Value::as_str).collect();
    lines.push(Line::of(
        Weight::Strong,
        format!(
            "{} {}  up {}  {} workers  the last {}  {}",
            text(server, "name"),
            text(server, "version"),
            since(number(server, "uptime_seconds")),
            number(server, "workers"),
            since(seconds(report)),
            addresses.join(" "),
        ),
    ));
}

fn attention(report: &Value, lines: &mut Vec<Line>) {
    let all = items(report, "attention");
    if all.is_empty() {
        let calm = "nothing is unusual in the last minute, compared with the hour before";
        lines.push(Line::of(Weight::Soft, calm));
    }
    for one in all {
        let bad = one.get("bad").and_then(Value::as_bool) == Some(true);
        let weight = if bad { Weight::Bad } else { Weight::Plain };
        lines.push(Line::of(weight, format!("! {}", text(one, "says"))));
    }
    lines.push(Line::default());
}

fn rates(report: &Value, lines: &mut Vec<Line>) {
    let (totals, seconds) = (&report["totals"], seconds(report));
    let rate = |count: f64| short(count / seconds);
    let total = items(report, "stages").iter().find(|stage| text(stage, "name") == "total");
    let of_total = |member| total.map_or_else(|| "-".to_owned(), |total| time(total, member));
    lines.push(Line::plain(format!(
        "requests {}/s   content {}B/s   p50 {}   p99 {}   p99.9 {}",
        rate(number(totals, "requests")),
        rate(number(&report["ledger"]["total"], "payload_bytes")),
        of_total("p50_ns"),
        of_total("p99_ns"),
        of_total("p999_ns"),
    )));
    lines.push(Line::plain(format!(
        "connections {} open, {}/s new   handshakes {}/s, {} resumed, {} failed",
        short(number(totals, "open")),
        rate(number(totals, "accepted")),
        rate(number(totals, "handshakes")),
        percent(number(totals, "resumed") / number(totals, "handshakes").max(1.0)),
        short(number(totals, "failed_handshakes")),
    )));
    let statuses = items(report, "statuses")
        .iter()
        .map(|each| format!("{} {}", number(each, "status"), short(number(each, "count"))));
    let statuses: Vec<_> = statuses.collect();
    let statuses = if statuses.is_empty() { "none".to_owned() } else { statuses.join("   ") };
    lines.push(Line::plain(format!("answers {statuses}")));
    http2(report, lines);
    let mut ends: Vec<_> = items(report, "ends").iter().collect();
    ends.sort_by_key(|end| std::cmp::Reverse(number(end, "count") as u64));
    let ends: Vec<_> = ends
        .iter()
        .take(ENDS)
        .map(|end| format!("{} {}", text(end, "code"), short(number(end, "count"))))
        .collect();
    let ends = if ends.is_empty() { "none".to_owned() } else { ends.join("   ") };
    lines.push(Line::plain(format!("ends    {ends}")));
}

/// What HTTP/2 has beyond requests, if any came over it.
fn http2(report: &Value, lines: &mut Vec<Line>) {
    let (http2, streams) = (&report["http2"], items(report, "streams"));
    let of = |member| short(number(http2, member));
    let goaways = http2.get("goaway").and_then(Value::as_object).into_iter().flatten();
    let goaways = goaways.filter_map(|(code, count)| Some((code, count.as_f64()?)));
    let goaways: Vec<_> = goaways
        .filter(|(_, count)| *count > 0.0)
        .map(|(code, count)| format!("   GOAWAY {code} {}", short(count)))
        .collect();
    let requests = number(http2, "requests");
    if requests == 0.0 && streams.is_empty() && goaways.is_empty() {
        return;
    }
    let open: f64 = streams.iter().map(|connection| number(connection, "open")).sum();
    lines.push(Line::plain(format!(
        "http/2  {}/s   streams {} open, {} refused, {} reset by clients, {} by the server{}",
        short(requests / seconds(report)),
        short(open),
        of("refused"),
        of("reset_by_client"),
        of("reset_by_server"),
        goaways.concat(),
    )));
}

fn stages(report: &Value, lines: &mut Vec<Line>) {
    lines.push(Line::of(
        Weight::Soft,
        format!("{:18} {:>9} {:>9} {:>9}  share of the slowest", "stage", "p50", "p99", "p99.9"),
    ));
    let shares = items(&report["tail"], "stages");
    for stage in items(report, "stages") {
        if number(stage, "sum_ns") == 0.0 {
            continue;
        }
        let name = text(stage, "name");
        let share = shares.iter().find(|share| text(share, "name") == name);
        let share = share.map_or(0.0, |share| number(share, "share"));
        let bar = "#".repeat((share * BAR as f64).round() as usize);
        let share =
            if share >= 0.005 { format!("{:>5} {bar}", percent(share)) } else { String::new() };
        lines.push(Line::plain(format!(
            "{name:18} {:>9} {:>9} {:>9}  {share}",
            time(stage, "p50_ns"),
            time(stage, "p99_ns"),
            time(stage, "p999_ns"),
        )));
    }
}

fn workers(report: &Value, lines: &mut Vec<Line>) {
    lines.push(Line::of(
        Weight::Soft,
        format!(
            "{:6} {:>10} {:>11} {:>7} {:>7} {:>10}  longest stall",
            "worker", "requests/s", "connections", "ran", "lacked", "run queue"
        ),
    ));
    let seconds = seconds(report);
    for worker in items(report, "workers") {
        let number_of = number(worker, "worker");
        if worker.get("answered").and_then(Value::as_bool) != Some(true) {
            lines.push(Line::of(Weight::Bad, format!("{number_of:<6} does not answer")));
            continue;
        }
        let part = |member| number(worker, member) / 1e9 / seconds;
        let lacked = part("lost_ns").max(part("cpu_wait_ns"));
        let stall = &worker["longest_stall"];
        let stall = match stall.get("ns") {
            None => String::new(),
            Some(_) => format!("{} {}", time(stall, "ns"), text(stall, "stage")),
        };
        let weight = if lacked > LACKS { Weight::Bad } else { Weight::Plain };
        lines.push(Line::of(
            weight,
            format!(
                "{number_of:<6} {:>10} {:>11} {:>7} {:>7} {:>10}  {stall}",
                short(number(worker, "requests") / seconds),
                short(number(worker, "connections")),
                percent(part("cpu_ns")),
                percent(lacked),
                time(worker, "run_queue_p99_ns"),
            ),
        ));
    }
}

/// Endpoints of applications and their offloaded work, if there are any; since the start.
fn applications(report: &Value, lines: &mut Vec<Line>) {
    let endpoints = items(report, "endpoints");
    if endpoints.is_empty() {
        return;
    }
    lines.push(Line::of(
        Weight::Soft,
        format!(
            "{:32} {:>8} {:>9} {:>9} {:>9} {:>9} {:>6}",
            "endpoint", "slowest", "requests", "mean", "handler", "waiting", "held"
        ),
    ));
    for endpoint in endpoints.iter().take(ENDPOINTS) {
        let requests = number(endpoint, "requests").max(1.0);
        let mean = |member| {
            let nanoseconds = number(endpoint, member) / requests;
            crate::cli::anatomy::time(std::time::Duration::from_nanos(nanoseconds as u64))
        };
        let held = number(endpoint, "held");
        let weight = if held > 0.0 { Weight::Bad } else { Weight::Plain };
        lines.push(Line::of(
            weight,
            format!(
                "{:32} {:>8} {:>9} {:>9} {:>9} {:>9} {:>6}",
                text(endpoint, "name"),
                percent(number(endpoint, "tail_share")),
                short(number(endpoint, "requests")),
                mean("sum_ns"),
                mean("handler_ns"),
                mean("waiting_ns"),
                short(held),
            ),
        ));
    }
    if let Some(offload) = report.get("offload").filter(|offload| offload.is_object()) {
        let of = |member| short(number(offload, member));
        lines.push(Line::plain(format!(
            "offload {} threads, {} jobs, {} wait, {} refused, {} taken back",
            of("threads"),
            of("begun"),
            of("waiting"),
            of("refused"),
            of("taken_back"),
        )));
    }
    lines.push(Line::default());
}

fn slowest(report: &Value, lines: &mut Vec<Line>) {
    lines.push(Line::of(
        Weight::Soft,
        format!("{:>9} {:3} {:16} {:8} {:10}", "slowest", "", "mostly", "whose", "log"),
    ));
    for slow in one_of_each(items(report, "slowest")) {
        let queued = number(&slow["before"], "accept_queue_ns");
        let total = number(slow, "total_ns");
        let waited = std::time::Duration::from_nanos((queued + total) as u64);
        let mostly = if queued > total { "accept_queue" } else { text(slow, "dominant") };
        let end = text(slow, "end");
        let end = if end.is_empty() { String::new() } else { format!("  {end}") };
        lines.push(Line::plain(format!(
            "{:>9} {:3} {mostly:16} {:8} {:10} {} {}{end}",
            crate::cli::anatomy::time(waited),
            number(slow, "status"),
            text(&slow["blame"], "who"),
            format!("{}/{}", text(slow, "connection"), number(slow, "number")),
            text(slow, "method"),
            text(slow, "path"),
        )));
    }
}

/// The slowest of each cause, and then the others, as far as there is room.
fn one_of_each(all: &[Value]) -> Vec<&Value> {
    let cause = |slow: &Value| {
        let complete = slow.get("complete").and_then(Value::as_bool) == Some(true);
        (text(slow, "dominant").to_owned(), number(slow, "status") as u64 / 100, complete)
    };
    let (mut seen, mut first, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for slow in all {
        if seen.contains(&cause(slow)) {
            others.push(slow);
        } else {
            seen.push(cause(slow));
            first.push(slow);
        }
    }
    first.extend(others);
    first.truncate(SLOWEST);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Value {
        serde_json::from_str(include_str!("../../../tests/fixtures/anatomy.json")).unwrap()
    }

    #[test]
    fn it_says_what_the_report_says() {
        let text = Screen::new(Some(120), None, false).draw(&example());
        for part in [
            "Ringway 0.1.0",
            "! p99 of requests is 41.0 ms, before it was 3.2 ms",
            "answers 200",
            "/items/{id}",
            "offload 2 threads, 5.0k jobs, 3 wait, 4 refused, 7 taken back",
            "accept_queue",
            "last_write",
            "run queue",
            "/video.bin",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\x1b'), "no colour was asked for");
    }

    #[test]
    fn it_fits_the_terminal() {
        let mut report = example();
        report["slowest"][0]["path"] = "/\x1b[2J\u{9b}31m/".into();
        for (columns, rows) in [(60, 10), (80, 24), (200, 100)] {
            let text = Screen::new(Some(columns), Some(rows), false).draw(&report);
            assert!(text.lines().count() < rows, "{rows}");
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}");
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
        let coloured = Screen::new(None, None, true).draw(&report);
        assert!(coloured.contains("\x1b[31m! p99") && !coloured.contains("\x1b[2J"));
    }

    #[test]
    fn a_server_without_anything_to_say_is_drawn() {
        let text =
            Screen::new(None, None, false).draw(&serde_json::json!({"workers": [{"worker": 3}]}));
        assert!(text.contains("does not answer") && text.contains("nothing is unusual"), "{text}");
    }

    #[test]
    fn http2_has_a_line_where_there_is_any() {
        let mut report = example();
        report["streams"] = serde_json::json!([]);
        assert!(!Screen::new(None, None, false).draw(&report).contains("http/2"));
        report["http2"] = serde_json::json!({
            "requests": 6_300, "refused": 3, "reset_by_client": 20, "reset_by_server": 1,
            "goaway": {"NO_ERROR": 0, "ENHANCE_YOUR_CALM": 2},
        });
        report["streams"] = serde_json::json!([{"open": 4}, {"open": 1}]);
        let text = Screen::new(None, None, false).draw(&report);
        let says = "streams 5 open, 3 refused, 20 reset by clients, 1 by the server   \
                    GOAWAY ENHANCE_YOUR_CALM 2\n";
        assert!(text.contains(says), "{text}");
    }

    #[test]
    fn each_cause_comes_first() {
        let slow = |dominant: &str, status: u64| serde_json::json!({"dominant": dominant, "status": status, "complete": true});
        let all = [slow("head", 200), slow("head", 201), slow("process", 200), slow("head", 404)];
        let order: Vec<_> = one_of_each(&all).iter().map(|one| number(one, "status")).collect();
        assert_eq!(order, [200.0, 200.0, 404.0, 201.0]);
    }
}
