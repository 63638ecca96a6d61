//! Figures as SVG, drawn in the colours that `page.css` names.
//!
//! The invariant: a figure says in words (`title`, `aria-label`) what it shows, and text is escaped.

use std::fmt::Write as _;

/// Wide enough for a column of a desktop's page, and still to be read on a telephone.
const WIDTH: f64 = 480.0;
const LABEL: f64 = 92.0;
const RIGHT: f64 = 62.0;
const ROW: f64 = 22.0;
const PLOT: f64 = 330.0;

/// Whose a bar or a curve is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Ringway,
    Peer,
    /// What nobody can save.
    Bound,
}

impl Whose {
    fn colour(self) -> &'static str {
        match self {
            Self::Ringway => "var(--own)",
            Self::Peer => "var(--other)",
            Self::Bound => "var(--bound)",
        }
    }

    fn class(self) -> &'static str {
        if self == Self::Ringway { " class=own" } else { "" }
    }
}

/// A bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) whose: Whose,
    pub(crate) value: f64,
    /// The part of the value that is drawn darker.
    pub(crate) split: Option<f64>,
    /// The whisker.
    pub(crate) reach: (f64, f64),
}

/// A curve over percentiles.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) whose: Whose,
    /// From 0 to 1: which of many hues it has.
    pub(crate) hue: f64,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Text, safe in HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A bar chart. The caption is HTML; `label` says the same without.
pub(crate) fn bars(out: &mut String, caption: &str, label: &str, bars: &[Bar]) {
    let top = bars.iter().map(|bar| bar.reach.1.max(bar.value)).fold(0.0, f64::max);
    if top <= 0.0 {
        return;
    }
    let scale = (WIDTH - LABEL - RIGHT) / top;
    begin(out, caption, label, ROW * bars.len() as f64 + 2.0);
    for (row, bar) in bars.iter().enumerate() {
        let y = ROW * row as f64;
        let (text, middle) = (y + 15.5, y + 11.0);
        let (colour, class, name) = (bar.whose.colour(), bar.whose.class(), escape(&bar.name));
        let width = (bar.value * scale).max(1.0);
        let _ = write!(
            out,
            "<g><title>{name}: {}{}</title><text x={} y={text} text-anchor=end{class}>{name}</text>",
            short(bar.value),
            if bar.reach.0 < bar.reach.1 {
                format!(" ({} to {})", short(bar.reach.0), short(bar.reach.1))
            } else {
                String::new()
            },
            LABEL - 8.0
        );
        let pale = if bar.split.is_some() { " opacity=.42" } else { "" };
        let _ = write!(
            out,
            "<rect x={LABEL} y={} width={width:.1} height=15 rx=2.5 fill=\"{colour}\"{pale} />",
            y + 3.5
        );
        if let Some(split) = bar.split {
            let _ = write!(
                out,
                "<rect x={LABEL} y={} width={:.1} height=15 rx=2.5 fill=\"{colour}\" />",
                y + 3.5,
                split * scale
            );
        }
        let (from, to) = (LABEL + bar.reach.0 * scale, LABEL + bar.reach.1 * scale);
        if bar.reach.0 < bar.reach.1 {
            let _ = write!(
                out,
                "<path d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {0}v7M{to:.1} {0}v7\" \
                 stroke=\"var(--ink)\" stroke-width=1.2 opacity=.75 fill=none />",
                y + 7.5
            );
        }
        let after = to.max(LABEL + width) + 6.0;
        let _ = write!(out, "<text x={after:.1} y={text}{class}>{}</text></g>", short(bar.value));
    }
    out.push_str("</svg></figure>");
}

/// Curves over percentiles, both axes logarithmic: each step to the right is ten times rarer.
pub(crate) fn lines(out: &mut String, caption: &str, label: &str, curves: &[Line]) {
    let all = || curves.iter().flat_map(|curve| &curve.points).map(|point| point.1.max(1.0));
    let (low, high) = (all().fold(f64::MAX, f64::min), all().fold(1.0, f64::max));
    if low > high {
        return;
    }
    let (left, right) = (54.0, WIDTH - 92.0);
    let (low, high) = (low.log10(), high.log10().max(low.log10() + 0.5));
    let x = |percentile: f64| {
        let rarity = -(1.0 - percentile.min(99.999) / 100.0).log10();
        left + rarity / 5.0 * (right - left)
    };
    let y = |us: f64| PLOT - 8.0 - (us.max(1.0).log10() - low) / (high - low) * (PLOT - 24.0);
    begin(out, caption, label, PLOT + 24.0);
    grid(out, (low, high), (left, right), &y);
    for (percentile, name) in
        [(50.0, "50"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"), (99.99, "99.99"), (100.0, "max")]
    {
        let at = x(percentile);
        let _ = write!(
            out,
            "<text x={at:.1} y={} text-anchor=middle class=axis>{name}</text>",
            PLOT + 18.0
        );
    }
    // Names stand beside the ends of their curves, apart from each other, inside the figure.
    let mut ends: Vec<(f64, &Line)> = curves
        .iter()
        .filter_map(|curve| curve.points.last().map(|point| (y(point.1), curve)))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<f64> = ends.iter().map(|(end, _)| end + 4.0).collect();
    let places = apart(&wanted, 13.5, PLOT);
    // Ringway's curve is drawn last, over the others.
    let mut order: Vec<_> = ends.iter().map(|(_, curve)| curve).zip(&places).collect();
    order.sort_by_key(|(curve, _)| curve.whose == Whose::Ringway);
    for (curve, place) in order {
        let (colour, stroke) = match curve.whose {
            Whose::Ringway => ("var(--own)".to_owned(), "stroke-width=3"),
            // Hues apart from Ringway's, of a brightness for light and dark pages.
            Whose::Peer => {
                (format!("hsl({:.0} 48% 54%)", 70.0 + 270.0 * curve.hue), "stroke-width=1.5")
            }
            Whose::Bound => {
                ("var(--bound)".to_owned(), "stroke-width=1.5 stroke-dasharray=\"4 3\"")
            }
        };
        let mut path = String::new();
        for (index, (percentile, us)) in curve.points.iter().enumerate() {
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x(*percentile), y(*us));
        }
        let name = escape(&curve.name);
        let _ = write!(
            out,
            "<path d=\"{path}\" stroke=\"{colour}\" {stroke} stroke-linejoin=round fill=none>\
             <title>{name}</title></path>\
             <text x={:.0} y={place:.1} style=\"fill:{colour}\">{name}</text>",
            right + 7.0
        );
    }
    out.push_str("</svg></figure>");
}

/// Lines at 1, 2 and 5 of each decade that is in sight, or fewer where there are many.
fn grid(
    out: &mut String,
    (low, high): (f64, f64),
    (left, right): (f64, f64),
    y: &dyn Fn(f64) -> f64,
) {
    let steps: &[f64] = if high - low > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    for decade in low.floor() as i32..=high.ceil() as i32 {
        for step in steps {
            let us = step * 10f64.powi(decade);
            if us.log10() < low - 0.02 || us.log10() > high + 0.02 {
                continue;
            }
            let at = y(us);
            let _ = write!(
                out,
                "<path d=\"M{left} {at:.1}H{right}\" stroke=\"var(--line)\" />\
                 <text x={} y={:.1} text-anchor=end class=axis>{}</text>",
                left - 6.0,
                at + 4.0,
                micros(us)
            );
        }
    }
}

/// Places at least `gap` apart, near those wanted, which are sorted, and none beyond `end`.
fn apart(wanted: &[f64], gap: f64, end: f64) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::with_capacity(wanted.len());
    for &place in wanted {
        let least = places.last().map_or(gap, |last| last + gap);
        places.push(place.max(least));
    }
    let mut most = end;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - gap;
    }
    places
}

fn begin(out: &mut String, caption: &str, label: &str, height: f64) {
    let _ = write!(
        out,
        "<figure><figcaption>{caption}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {height}\" role=img aria-label=\"{}\">",
        escape(label)
    );
}

/// A number in few characters.
pub(crate) fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.0} k", v / 1e3),
        v if v >= 1e3 => format!("{:.1} k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// Microseconds in few characters.
fn micros(us: f64) -> String {
    match us {
        v if v >= 1e6 => format!("{:.0} s", v / 1e6),
        v if v >= 1e3 => format!("{:.0} ms", v / 1e3),
        v => format!("{v:.0} µs"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Bar, Line, Whose, apart, bars, escape, lines, micros, short};

    #[test]
    fn numbers_are_short() {
        let shown: Vec<_> = [0.52, 12.34, 123.4, 1234.0, 12_345.0, 1_234_567.0].map(short).into();
        assert_eq!(shown, ["0.5", "12.3", "123", "1.2 k", "12 k", "1.23 M"]);
        assert_eq!([5.0, 2000.0, 1e6].map(micros), ["5 µs", "2 ms", "1 s"]);
    }

    #[test]
    fn text_is_safe() {
        assert_eq!(escape("<a&\">"), "&lt;a&amp;&quot;&gt;");
    }

    #[test]
    fn names_stand_apart_and_inside() {
        assert_eq!(apart(&[50.0, 51.0, 90.0], 10.0, 100.0), [50.0, 60.0, 90.0]);
        assert_eq!(apart(&[98.0, 99.0, 100.0], 10.0, 100.0), [80.0, 90.0, 100.0]);
        assert_eq!(apart(&[0.0], 10.0, 100.0), [10.0]);
        assert!(apart(&[], 10.0, 100.0).is_empty());
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let mut out = String::new();
        bars(&mut out, "none", "none", &[]);
        lines(&mut out, "none", "none", &[]);
        assert_eq!(out, "");
        let bar = Bar {
            name: "a".into(),
            whose: Whose::Ringway,
            value: 2.0,
            split: Some(1.0),
            reach: (1.0, 3.0),
        };
        bars(&mut out, "one", "one", &[bar]);
        assert_eq!(out.matches("<rect").count(), 2);
    }

    #[test]
    fn ringways_curve_lies_above_the_others() {
        let line = |name: &str, whose| Line {
            name: name.into(),
            whose,
            hue: 0.5,
            points: vec![(0.0, 10.0), (50.0, 100.0), (100.0, 1000.0)],
        };
        let curves = [line("ringway", Whose::Ringway), line("nginx", Whose::Peer)];
        let mut out = String::new();
        lines(&mut out, "two", "two", &curves);
        let at = |name: &str| out.find(&format!("<title>{name}<")).unwrap();
        assert!(at("ringway") > at("nginx"));
        assert!(out.contains("100 µs") && out.contains(">99.9<"));
    }
}
