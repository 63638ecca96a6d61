//! What the server says about its own time: the `Server-Timing` field (W3C Server Timing, section
//! 4), read leniently as that text asks.

use std::time::Duration;

/// The most metrics that are kept of one response.
const MOST: usize = 32;

/// One stage as the server measured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: String,
    /// `dur`, which is in milliseconds on the wire.
    pub(super) duration: Option<Duration>,
    /// `desc`.
    pub(super) description: Option<String>,
}

/// Reads a field's value: metrics with commas between them. What cannot be understood is left
/// out, and so is what goes beyond 32 metrics.
pub(super) fn parse(value: &str) -> Vec<Metric> {
    split(value, ',').into_iter().filter_map(metric).take(MOST).collect()
}

fn metric(text: &str) -> Option<Metric> {
    let mut parts = split(text, ';').into_iter();
    let name = parts.next()?.trim();
    if name.is_empty() || !name.chars().all(is_token) {
        return None;
    }
    let mut metric = Metric { name: name.to_owned(), duration: None, description: None };
    for parameter in parts {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = unquoted(value.trim());
        match key.trim().to_ascii_lowercase().as_str() {
            "dur" if metric.duration.is_none() => {
                let millis: f64 = value.parse().unwrap_or(-1.0);
                metric.duration = Duration::try_from_secs_f64(millis / 1000.0).ok();
            }
            "desc" if metric.description.is_none() => metric.description = Some(value),
            // Other parameters, and a second one of a name, are ignored (Server-Timing, 4.3).
            _ => {}
        }
    }
    Some(metric)
}

/// RFC 9110 section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// The parts between separators that are not inside a quoted string.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|c: char| {
        let here = c == separator && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            // Any other character has no meaning of its own.
            _ => {}
        }
        here
    })
    .collect()
}

/// The text of a quoted string (RFC 9110 section 5.6.4), or of a token, without control
/// characters: it goes to a terminal.
fn unquoted(text: &str) -> String {
    let inside = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').unwrap_or(rest),
        None => return text.chars().filter(|c| !c.is_control()).collect(),
    };
    let mut plain = String::new();
    let mut escaped = false;
    for c in inside.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            if !c.is_control() {
                plain.push(c);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn metric(name: &str, micros: Option<u64>, description: Option<&str>) -> Metric {
        Metric {
            name: name.to_owned(),
            duration: micros.map(Duration::from_micros),
            description: description.map(str::to_owned),
        }
    }

    #[test]
    fn metrics_with_and_without_parameters() {
        assert_eq!(
            parse(r#"parse;dur=0.012, miss ,db;desc="a, \"b\"; c";dur=53, total;DUR="1.5""#),
            [
                metric("parse", Some(12), None),
                metric("miss", None, None),
                metric("db", Some(53_000), Some("a, \"b\"; c")),
                metric("total", Some(1_500), None),
            ]
        );
    }

    #[test]
    fn nonsense_is_left_out() {
        assert_eq!(parse(""), []);
        assert_eq!(parse(" ,;dur=1, a b;dur=1"), []);
        assert_eq!(
            parse("a;dur=x, b;dur=-1, c;dur=NaN"),
            [metric("a", None, None), metric("b", None, None), metric("c", None, None),]
        );
        assert_eq!(parse(&"a,".repeat(1000)).len(), MOST);
    }

    proptest! {
        #[test]
        fn nothing_in_a_field_reaches_the_terminal_as_control(text in "\\PC*|[\\x00-\\xff]*") {
            for metric in parse(&text) {
                let text = metric.name + metric.description.as_deref().unwrap_or("");
                prop_assert!(!text.chars().any(char::is_control));
            }
        }
    }
}
