//! Figures of a report, and how they are written in few columns.

use std::time::Duration;

use serde_json::Value;

use crate::cli::anatomy;

/// A member that is a number; 0 for one that the server does not know.
pub(super) fn number(of: &Value, member: &str) -> f64 {
    of.get(member).and_then(Value::as_f64).unwrap_or(0.0)
}

/// A member that is text.
pub(super) fn text<'v>(of: &'v Value, member: &str) -> &'v str {
    of.get(member).and_then(Value::as_str).unwrap_or("")
}

/// The items of a member that is an array.
pub(super) fn items<'v>(of: &'v Value, member: &str) -> &'v [Value] {
    of.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A member in nanoseconds, as time; `-` for one that is not known.
pub(super) fn time(of: &Value, member: &str) -> String {
    match of.get(member).and_then(Value::as_u64) {
        None => "-".to_owned(),
        Some(0) => "0".to_owned(),
        Some(nanoseconds) => anatomy::time(Duration::from_nanos(nanoseconds)),
    }
}

/// A number in three digits or so: `12`, `1.2k`, `3.4M`.
pub(super) fn short(number: f64) -> String {
    // A sum of nothing is a negative zero.
    let number = number + 0.0;
    let (value, unit) = match number {
        n if n < 1e3 => (n, ""),
        n if n < 1e6 => (n / 1e3, "k"),
        n if n < 1e9 => (n / 1e6, "M"),
        n => (n / 1e9, "G"),
    };
    let decimals = usize::from(value < 99.95 && (!unit.is_empty() || value.fract() != 0.0));
    format!("{value:.decimals$}{unit}")
}

/// A share as percent.
pub(super) fn percent(share: f64) -> String {
    let decimals = usize::from(share < 0.0995);
    format!("{:.decimals$} %", share * 100.0)
}

/// A time since, in its two largest units.
pub(super) fn since(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_take_few_columns() {
        for (value, written) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.4, "0.4"),
            (7.0, "7"),
            (999.0, "999"),
            (1_234.0, "1.2k"),
            (123_400.0, "123k"),
            (5e6, "5.0M"),
            (2e9, "2.0G"),
        ] {
            assert_eq!(short(value), written);
        }
        assert_eq!([percent(0.013), percent(0.5)], ["1.3 %", "50 %"]);
        assert_eq!(
            [5.5, 65.0, 3_700.0, 90_000.0].map(since),
            ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]
        );
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let report = serde_json::json!({"a": null, "b": 5, "c": 0, "d": "x"});
        assert_eq!([time(&report, "a"), time(&report, "c")], ["-", "0"]);
        assert_eq!(
            (number(&report, "z"), text(&report, "d"), items(&report, "b").len()),
            (0.0, "x", 0)
        );
    }
}
