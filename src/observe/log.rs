//! The logger behind the `log` facade: one line for each record on standard error, as text or as
//! JSON.
//!
//! The invariant: a record is one line, whatever its message holds. A peer's bytes that find
//! their way into a message can neither start a new line nor send control sequences to a terminal.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record, SetLoggerError};

use super::json;
use crate::calendar::Utc;
use crate::config::LogFormat;
use crate::wall_clock::since_1970_at;

/// Makes this the process's logger, for records of `level` and above. Text is coloured only on a
/// terminal, and not if the variable `NO_COLOR` is set.
///
/// # Errors
///
/// If the process has a logger already.
pub(crate) fn init(format: LogFormat, level: LevelFilter) -> Result<(), SetLoggerError> {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    log::set_boxed_logger(Box::new(Logger { format, level, colour }))?;
    log::set_max_level(level);
    Ok(())
}

struct Logger {
    format: LogFormat,
    level: LevelFilter,
    colour: bool,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = self.line(record, SystemTime::now());
            // One write for the whole line, so that lines of several threads do not mix. There is
            // no way to report it if standard error is gone.
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

impl Logger {
    fn line(&self, record: &Record<'_>, now: SystemTime) -> String {
        let mut line = String::with_capacity(160);
        let message = record.args().to_string();
        match self.format {
            LogFormat::Text => self.push_text(&mut line, record, now, &message),
            LogFormat::Json => push_json(&mut line, record, now, &message),
        }
        line.push('\n');
        line
    }

    fn push_text(&self, line: &mut String, record: &Record<'_>, now: SystemTime, message: &str) {
        push_time(line, now);
        let (on, off) = if self.colour { (colour(record.level()), "\x1b[0m") } else { ("", "") };
        let _ = write!(line, " {on}{:<5}{off} {}: ", record.level(), record.target());
        for character in message.chars() {
            if character.is_control() {
                let _ = write!(line, "{}", character.escape_default());
            } else {
                line.push(character);
            }
        }
    }
}

fn push_json(line: &mut String, record: &Record<'_>, now: SystemTime, message: &str) {
    line.push_str("{\"time\":\"");
    push_time(line, now);
    let _ = write!(line, "\",\"level\":\"{}\",\"target\":", record.level());
    json::push_string(line, record.target());
    line.push_str(",\"message\":");
    json::push_string(line, message);
    line.push('}');
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug => "\x1b[34m",
        Level::Trace => "\x1b[90m",
    }
}

/// Appends a time in UTC as RFC 3339 has it, with milliseconds. A clock before 1970 reads 1970.
pub(crate) fn push_time(line: &mut String, time: SystemTime) {
    let since = since_1970_at(time);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let Utc { year, month, day, hour, minute, second } = Utc::from_unix(seconds);
    let milli = since.subsec_millis();
    let _ =
        write!(line, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn line(format: LogFormat, colour: bool, message: &str) -> String {
        let logger = Logger { format, level: LevelFilter::Info, colour };
        let now = UNIX_EPOCH + Duration::from_millis(1_709_210_096_007);
        logger.line(
            &Record::builder()
                .level(Level::Warn)
                .target("ringway::accept")
                .args(format_args!("{message}"))
                .build(),
            now,
        )
    }

    #[test]
    fn text_is_one_line_for_a_person() {
        assert_eq!(
            line(LogFormat::Text, false, "no descriptors left"),
            "2024-02-29T12:34:56.007Z WARN  ringway::accept: no descriptors left\n"
        );
    }

    #[test]
    fn no_message_starts_a_line_or_reaches_the_terminal() {
        let text = line(LogFormat::Text, false, "GET /\r\n\x1b[2J\u{9b}31m");
        assert!(text.ends_with("GET /\\r\\n\\u{1b}[2J\\u{9b}31m\n"), "{text:?}");
        assert_eq!(text.matches('\n').count(), 1);
        assert!(line(LogFormat::Text, true, "x").contains("\x1b[33mWARN \x1b[0m"));
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        assert_eq!(
            line(LogFormat::Json, true, "a \"quoted\"\npath\\"),
            "{\"time\":\"2024-02-29T12:34:56.007Z\",\"level\":\"WARN\",\
             \"target\":\"ringway::accept\",\"message\":\"a \\\"quoted\\\"\\npath\\\\\"}\n"
        );
    }

    #[test]
    fn levels_below_the_limit_are_not_enabled() {
        let logger = Logger { format: LogFormat::Text, level: LevelFilter::Warn, colour: false };
        let enabled = |level| logger.enabled(&Metadata::builder().level(level).build());
        assert!(enabled(Level::Error) && enabled(Level::Warn) && !enabled(Level::Info));
    }
}
