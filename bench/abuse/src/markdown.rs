//! The results as a part of a text, which is replaced and the rest left as it is.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::results::{Results, Round, Seen, median};
use crate::table::{MIB, over};

/// Replaces what stands between the two lines of `file`.
pub(crate) fn rewrite(file: &Path, results: &Results) -> Result<(), String> {
    let failed = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    let around = around(results);
    let text = replaced(&text, &markdown(results), &around)
        .ok_or_else(|| failed(&format!("no lines {} and {}", around.0.trim_end(), around.1)))?;
    fs::write(file, text).map_err(|error| failed(&error))
}

/// The lines between which these results belong.
fn around(results: &Results) -> (String, String) {
    let name = format!("{}{}", results.against.of(), if results.polls { " on epoll" } else { "" });
    (format!("<!-- results{name} -->\n"), format!("<!-- end of results{name} -->"))
}

fn replaced(text: &str, part: &str, (begin, end): &(String, String)) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}{part}{end}{after}"))
}

fn markdown(results: &Results) -> String {
    let mut text = String::new();
    let machine = &results.machine;
    let quiet = if machine.load_before > 0.5 {
        "; **the machine was not quiet**, so take the figures for their order only"
    } else {
        ""
    };
    let ahead =
        if results.ahead { "real-time priority" } else { "**no** priority over the attackers" };
    let _ = writeln!(
        text,
        "{}, one worker{}. {}, {} CPUs, Linux {}, {} open files, load average {:.2} before{quiet}. The \
         honest client at {} requests/s on {} connections, {ahead}; {} rounds of {} s.\n",
        results.server,
        if results.polls { " on epoll" } else { "" },
        machine.cpu,
        machine.cpus,
        machine.kernel,
        machine.open_files,
        machine.load_before,
        results.rate,
        results.connections,
        results.rounds,
        results.seconds,
    );
    text.push_str(
        "| beside | p50 us | p99 us | max us | p99 to undisturbed | server's CPU | memory, MiB | \
         failed |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let middle = |of: &dyn Fn(&Seen) -> f64| median(results.undisturbed.iter().map(of).collect());
    let _ = writeln!(
        text,
        "| nobody | {:.0} | {:.0} | {:.0} | 1 | {:.0} % | {:.1} | {} |",
        middle(&|seen| seen.p50_us),
        middle(&|seen| seen.p99_us),
        middle(&|seen| seen.max_us),
        middle(&|seen| seen.server_cpu * 100.0),
        middle(&|seen| seen.memory as f64 / MIB),
        results.undisturbed.iter().map(|seen| seen.failed).sum::<u64>(),
    );
    for attacked in &results.attacks {
        let ratios = attacked.rounds.iter().map(Round::ratio);
        let (least, most) = ratios.fold((f64::MAX, 0.0), |(least, most): (f64, f64), ratio| {
            (least.min(ratio), most.max(ratio))
        });
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {:.0} | {:.2} ({least:.2} to {most:.2}) | {:.0} % | {:.1} | {} |",
            attacked.name,
            attacked.median(|round| round.during.p50_us),
            attacked.median(|round| round.during.p99_us),
            attacked.median(|round| round.during.max_us),
            attacked.median(Round::ratio),
            attacked.median(|round| round.during.server_cpu * 100.0),
            attacked.memory() as f64 / MIB,
            attacked.failed(),
        );
    }
    let _ = writeln!(
        text,
        "\nThe server held at most {:.1} MiB of the {:.0} MiB that it promised at its start. {} of {} \
         honest requests failed. {} descriptors were open before the first connection, {} after the \
         last.\n",
        results.most_memory as f64 / MIB,
        results.ceiling as f64 / MIB,
        results.failed(),
        results.undisturbed.iter().map(|seen| seen.requests).sum::<u64>()
            + results
                .attacks
                .iter()
                .flat_map(|attacked| &attacked.rounds)
                .map(|round| round.during.requests)
                .sum::<u64>(),
        results.descriptors.0,
        results.descriptors.1,
    );
    let over: Vec<_> = over(results).iter().map(|attacked| attacked.name.clone()).collect();
    let _ = if over.is_empty() {
        writeln!(text, "Beside every attack the p99 stayed within twice its undisturbed value.\n")
    } else {
        writeln!(
            text,
            "The p99 went beyond twice its undisturbed value beside: {}.\n",
            over.join(", ")
        )
    };
    text.push_str("What each attack does, and what of it was done:\n\n| attack | | done | turned away |\n|---|---|--:|--:|\n");
    for attacked in &results.attacks {
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} {}/s | {:.0}/s |",
            attacked.name,
            attacked.what,
            attacked.median(|round| round.done),
            attacked.unit,
            attacked.median(|round| round.turned_away),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{around, markdown, replaced};
    use crate::against::Against;
    use crate::results::{Attacked, Results, Round, Seen};

    #[test]
    fn the_part_is_replaced_and_the_rest_stays() {
        let text = "a\n<!-- results -->\nold\n<!-- end of results -->\nb\n";
        let around = around(&Results::default());
        let replaced = replaced(text, "new\n", &around).unwrap();
        assert_eq!(replaced, text.replace("old", "new"));
        assert_eq!(super::replaced("a\n", "new", &around), None);
    }

    #[test]
    fn results_of_each_kind_have_a_place_of_their_own() {
        let of = |against, polls| around(&Results { against, polls, ..Results::default() }).0;
        assert_eq!(of(Against::Files, false), "<!-- results -->\n");
        assert_eq!(of(Against::Http2, false), "<!-- results of HTTP/2 -->\n");
        assert_eq!(of(Against::Proxy, false), "<!-- results of the proxy -->\n");
        assert_eq!(of(Against::Application, false), "<!-- results of applications -->\n");
        assert_eq!(of(Against::Files, true), "<!-- results on epoll -->\n");
        assert_eq!(of(Against::Http2, true), "<!-- results of HTTP/2 on epoll -->\n");
        let text = markdown(&Results { polls: true, ..Results::default() });
        assert!(text.contains(", one worker on epoll."), "{text}");
    }

    #[test]
    fn what_is_beyond_the_double_is_named() {
        let seen = |p99_us| Seen { p99_us, requests: 7, ..Seen::default() };
        let round =
            Round { before: seen(1.0), during: seen(3.0), after: seen(1.0), ..Round::default() };
        let attack = Attacked { name: "ranges".into(), rounds: vec![round], ..Attacked::default() };
        let results =
            Results { undisturbed: vec![seen(1.0)], attacks: vec![attack], ..Results::default() };
        let text = markdown(&results);
        assert!(text.contains("undisturbed value beside: ranges."), "{text}");
        assert!(text.contains("0 of 14 honest requests failed"), "{text}");
        assert!(text.contains("3.00 (3.00 to 3.00)"), "{text}");
    }
}
