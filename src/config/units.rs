//! Numbers with units, as options and files have them. A number without a unit is refused where a mistake of
//! scale would be easy: times need one, sizes are bytes without one.

use std::time::Duration;

/// Parses a size: a whole number of bytes, or one with `KiB`, `MiB`, `GiB` or `TiB` (`K`, `M`,
/// `G` and `T` mean the same).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => {
            return Err(format!(
                "{unit:?} is no unit of size; use KiB, MiB, GiB or none for bytes"
            ));
        }
    };
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too large"))
}

/// Parses a size that has to fit this machine's memory.
pub(crate) fn memory(text: &str) -> Result<usize, String> {
    usize::try_from(bytes(text)?).map_err(|_| format!("{text} is too large"))
}

/// Parses a time: a whole number with `ms`, `s`, `m` or `h`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "" => return Err(format!("a time needs its unit, such as {text}s; use ms, s, m or h")),
        _ => return Err(format!("{unit:?} is no unit of time; use ms, s, m or h")),
    };
    let millis = number.checked_mul(millis).ok_or_else(|| format!("{text} is too long"))?;
    Ok(Duration::from_millis(millis))
}

/// A whole number and what follows it.
fn split(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    match number.parse() {
        Ok(value) => Ok((value, unit.trim_start())),
        Err(_) if number.is_empty() => Err("it must begin with a whole number".to_owned()),
        Err(_) => Err(format!("{number} is too large")),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, memory, time};
    use std::time::Duration;

    #[test]
    fn sizes() {
        for (text, value) in [
            ("0", 0),
            ("512", 512),
            ("64KiB", 64 << 10),
            ("64k", 64 << 10),
            ("1 MiB", 1 << 20),
            ("2G", 2 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
        assert_eq!(memory("4KiB"), Ok(4_096));
    }

    #[test]
    fn times() {
        for (text, millis) in [("250ms", 250), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_refused_is_explained() {
        for (refusal, says) in [
            (bytes("").unwrap_err(), "whole number"),
            (bytes("KiB").unwrap_err(), "whole number"),
            (bytes("-1").unwrap_err(), "whole number"),
            (bytes("1.5MiB").unwrap_err(), "no unit"),
            (bytes("10 parsecs").unwrap_err(), "no unit of size"),
            (bytes("99999999999999999999").unwrap_err(), "too large"),
            (bytes("99999999999999T").unwrap_err(), "too large"),
            (time("10").unwrap_err(), "10s"),
            (time("1d").unwrap_err(), "no unit of time"),
            (time("99999999999999999h").unwrap_err(), "too long"),
        ] {
            assert!(refusal.contains(says), "{refusal}");
        }
    }
}
