//! Durations as bars under each other: pure text, as wide as its caller asks.

use std::fmt::Write as _;
use std::time::Duration;

/// What a bar is about, and thereby its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The kernel moves bytes.
    Kernel,
    /// A program computes.
    Pure,
    /// Nothing happens here; somebody else is waited for.
    Waiting,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) kind: Kind,
    pub(super) begin: Duration,
    pub(super) took: Duration,
}

/// One of several requests that were sent at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) label: String,
    /// The first byte of its answer.
    pub(super) first: Duration,
    /// The last one.
    pub(super) last: Duration,
}

/// The room for text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Canvas {
    columns: usize,
    colour: bool,
}

/// The widest label, in columns.
const LABEL: usize = 19;
/// A duration, in columns.
const TIME: usize = 9;
/// What indents every line.
const MARGIN: &str = "  ";

impl Canvas {
    /// `columns` are taken as 80 where they are not known, and kept between 48 and 120.
    pub(super) fn new(columns: Option<usize>, colour: bool) -> Self {
        Self { columns: columns.unwrap_or(80).clamp(48, 120), colour }
    }

    /// Draws the bars on one scale, which ends at `total`.
    pub(super) fn draw(&self, bars: &[Bar], total: Duration) -> String {
        let room = self.columns - MARGIN.len() - LABEL - TIME - 3;
        let mut text = String::new();
        for bar in bars {
            let label: String = bar.label.chars().take(LABEL).collect();
            let cells = cells(bar, total, room);
            let cells = self.paint(bar.kind, &cells);
            let took = time(bar.took);
            let _ = writeln!(text, "{MARGIN}{label:LABEL$} {cells}  {took:>TIME$}");
        }
        let took = time(total);
        let all = "in all";
        let _ = writeln!(text, "{MARGIN}{all:LABEL$} {:room$}  {took:>TIME$}", "");
        text
    }

    /// Draws tracks on one scale, which ends at `total`: light until `first`, full from there to `last`.
    pub(super) fn tracks(&self, tracks: &[Track], total: Duration) -> String {
        let room = self.columns - MARGIN.len() - LABEL - TIME - 3;
        let scale = room as f64 / total.as_secs_f64().max(1e-9);
        let column = |at: Duration| ((at.as_secs_f64() * scale) as usize).min(room);
        let mut text = String::new();
        for track in tracks {
            let label: String = track.label.chars().take(LABEL).collect();
            let first = column(track.first).min(room - 1);
            // However short, it leaves a mark.
            let last = column(track.last).clamp(first + 1, room);
            let waiting = self.paint(Kind::Waiting, &"░".repeat(first));
            let content = self.paint(Kind::Kernel, &"█".repeat(last - first));
            let (rest, took) = (room - last, time(track.last));
            let _ = writeln!(
                text,
                "{MARGIN}{label:LABEL$} {waiting}{content}{:rest$}  {took:>TIME$}",
                ""
            );
        }
        text
    }

    /// Breaks a sentence into lines with the margin.
    pub(super) fn note(&self, sentence: &str) -> String {
        let mut text = String::new();
        let mut line = String::new();
        for word in sentence.split(' ') {
            let width = MARGIN.len() + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && width > self.columns {
                let _ = writeln!(text, "{MARGIN}{line}");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(text, "{MARGIN}{line}");
        text
    }

    /// A line that stands out.
    pub(super) fn title(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m\n") } else { format!("{text}\n") }
    }

    /// What the colours mean; nothing without them.
    pub(super) fn legend(&self) -> String {
        if !self.colour {
            return String::new();
        }
        let mut text = MARGIN.to_owned();
        for (kind, means) in [
            (Kind::Kernel, "the kernels move bytes"),
            (Kind::Pure, "a program computes"),
            (Kind::Waiting, "the other side is waited for"),
        ] {
            let _ = write!(text, "{} {means}   ", self.paint(kind, "█"));
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    }

    fn paint(&self, kind: Kind, text: &str) -> String {
        let code = match kind {
            Kind::Kernel => 36,
            Kind::Pure => 31,
            Kind::Waiting => 33,
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The bar in `room` columns: whole blocks, and at both ends as much of one as the bar covers of
/// that column. However short, it leaves a mark.
fn cells(bar: &Bar, total: Duration, room: usize) -> String {
    const LEFT: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let scale = room as f64 / total.as_secs_f64().max(1e-9);
    let begin = (bar.begin.as_secs_f64() * scale).clamp(0.0, room as f64 - 0.125);
    let end = (begin + bar.took.as_secs_f64() * scale).clamp(begin + 0.125, room as f64);
    (0..room)
        .map(|column| {
            let (from, to) = (begin.max(column as f64), end.min(column as f64 + 1.0));
            let covered = to - from;
            // Less is a rounding error, or shows in the next column.
            if covered < 0.06 {
                ' '
            } else if begin <= column as f64 {
                LEFT[((covered * 8.0).round() as usize).clamp(1, 8) - 1]
            } else if end < column as f64 + 1.0 {
                '│'
            } else if covered >= 0.75 {
                '█'
            } else if covered >= 0.25 {
                '▐'
            } else {
                '▕'
            }
        })
        .collect()
}

/// Three digits and a unit.
pub(in crate::cli) fn time(duration: Duration) -> String {
    let micros = duration.as_nanos() as f64 / 1e3;
    let (value, unit) = match micros {
        m if m < 999.5 => (m, "µs"),
        m if m < 999_500.0 => (m / 1e3, "ms"),
        m => (m / 1e6, "s"),
    };
    let decimals = match value {
        v if v >= 99.95 || unit == "µs" && v >= 9.95 => 0,
        v if v >= 9.995 || unit == "µs" => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

/// A number with commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bar(begin: u64, took: u64) -> Bar {
        Bar {
            label: "stage".to_owned(),
            kind: Kind::Kernel,
            begin: Duration::from_micros(begin),
            took: Duration::from_micros(took),
        }
    }

    #[test]
    fn bars_cover_their_part() {
        let total = Duration::from_micros(80);
        assert_eq!(cells(&bar(0, 80), total, 8), "████████");
        assert_eq!(cells(&bar(20, 20), total, 8), "  ██    ");
        assert_eq!(cells(&bar(0, 15), total, 8), "█▌      ");
        assert_eq!(cells(&bar(15, 25), total, 8), " ▐██    ");
        assert_eq!(cells(&bar(80, 0), total, 8), "       ▕");
        assert_eq!(cells(&bar(0, 0), Duration::ZERO, 4), "▏   ");
    }

    proptest! {
        #[test]
        fn every_bar_leaves_a_mark_and_keeps_its_room(
            begin in 0_u64..2000, took in 0_u64..2000, total in 0_u64..2000, room in 1_usize..120,
        ) {
            let cells = cells(&bar(begin, took), Duration::from_micros(total), room);
            prop_assert_eq!(cells.chars().count(), room);
            prop_assert!(cells.chars().any(|c| c != ' '));
        }
    }

    #[test]
    fn lines_are_as_wide_as_the_canvas() {
        for columns in [0, 48, 80, 120, 500] {
            let canvas = Canvas::new(Some(columns), false);
            let drawn = canvas.draw(&[bar(0, 5), bar(5, 5)], Duration::from_micros(10));
            for line in drawn.lines() {
                assert_eq!(line.chars().count(), columns.clamp(48, 120), "{line}");
            }
            let note = canvas.note(&"words and more words ".repeat(20));
            assert!(note.lines().all(|line| line.chars().count() <= columns.clamp(48, 120)));
        }
    }

    #[test]
    fn tracks_show_the_wait_and_the_answer() {
        let canvas = Canvas::new(Some(48), false);
        let room = 48 - MARGIN.len() - LABEL - TIME - 3;
        let track = |first, last| Track {
            label: "stream 1".to_owned(),
            first: Duration::from_micros(first),
            last: Duration::from_micros(last),
        };
        let total = Duration::from_micros(room as u64);
        let tracks = [track(0, 0), track(5, 9), track(room as u64, room as u64)];
        let text = canvas.tracks(&tracks, total);
        let count = |line: &str, mark| line.chars().filter(|c| *c == mark).count();
        let counts: Vec<_> =
            text.lines().map(|line| (count(line, '░'), count(line, '█'))).collect();
        assert_eq!(counts, [(0, 1), (5, 4), (room - 1, 1)], "{text}");
        assert!(text.lines().all(|line| line.chars().count() == 48), "{text}");
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let text = |colour| {
            let canvas = Canvas::new(None, colour);
            canvas.title("t") + &canvas.draw(&[bar(0, 1)], Duration::ZERO) + &canvas.legend()
        };
        assert!(!text(false).contains('\x1b'));
        assert!(text(true).contains("\x1b[36m"));
    }

    #[test]
    fn times_have_three_digits() {
        for (nanos, text) in [
            (0, "0.0 µs"),
            (940, "0.9 µs"),
            (12_400, "12 µs"),
            (999_600, "1.00 ms"),
            (1_234_000, "1.23 ms"),
            (12_340_000, "12.3 ms"),
            (123_400_000, "123 ms"),
            (1_234_000_000, "1.23 s"),
        ] {
            assert_eq!(time(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
