//! Figures as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const LABEL: f64 = 110.0;
const ROW: f64 = 22.0;
const PLOT: f64 = 300.0;

/// A bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Whether it is Ringway's.
    pub(crate) own: bool,
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
    pub(crate) own: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Text, safe in HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A bar chart.
pub(crate) fn bars(out: &mut String, caption: &str, bars: &[Bar]) {
    let top = bars.iter().map(|bar| bar.reach.1.max(bar.value)).fold(0.0, f64::max);
    if top <= 0.0 {
        return;
    }
    let scale = (WIDTH - LABEL - 110.0) / top;
    let height = ROW * bars.len() as f64 + 4.0;
    begin(out, caption, height);
    for (row, bar) in bars.iter().enumerate() {
        let ranges = bar.reach.0 < bar.reach.1;
        let y = ROW * row as f64;
        let (text, middle) = (y + 15.0, y + 10.0);
        let colour = if bar.own { "var(--own)" } else { "var(--other)" };
        let width = bar.value * scale;
        let name = escape(&bar.name);
        let _ = write!(out, "<text x={:.0} y={text} text-anchor=end>{name}</text>", LABEL - 8.0);
        let opacity = if bar.split.is_some() { 0.45 } else { 1.0 };
        let _ = write!(
            out,
            "<rect x={LABEL} y={:.0} width={width:.1} height=14 fill=\"{colour}\" opacity={opacity} />",
            y + 3.0
        );
        if let Some(split) = bar.split {
            let _ = write!(
                out,
                "<rect x={LABEL} y={:.0} width={:.1} height=14 fill=\"{colour}\" />",
                y + 3.0,
                split * scale
            );
        }
        let (from, to) = (LABEL + bar.reach.0 * scale, LABEL + bar.reach.1 * scale);
        if ranges {
            let _ = write!(
                out,
                "<path d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {:.0}v6M{to:.1} {:.0}v6\" stroke=\"var(--ink)\" fill=none />",
                y + 7.0,
                y + 7.0
            );
        }
        let after = to.max(LABEL + width) + 6.0;
        let _ = write!(out, "<text x={after:.1} y={text}>{}</text>", short(bar.value));
    }
    out.push_str("</svg></figure>");
}

/// Curves over percentiles, both axes logarithmic: each step to the right is ten times rarer.
pub(crate) fn lines(out: &mut String, caption: &str, curves: &[Line]) {
    let all = || curves.iter().flat_map(|curve| &curve.points).map(|point| point.1.max(1.0));
    let (low, high) = (all().fold(f64::MAX, f64::min), all().fold(1.0, f64::max));
    if low > high {
        return;
    }
    let (low, high) = (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0));
    let x = |percentile: f64| {
        let rarity = -(1.0 - percentile.min(99.999) / 100.0).log10();
        LABEL + rarity / 5.0 * (WIDTH - LABEL - 120.0)
    };
    let y = |us: f64| PLOT - (us.max(1.0).log10() - low) / (high - low) * (PLOT - 20.0);
    begin(out, caption, PLOT + 24.0);
    let mut decade = low;
    while decade <= high {
        let (us, at) = (10f64.powf(decade), y(10f64.powf(decade)));
        let _ = write!(
            out,
            "<path d=\"M{LABEL} {at:.1}H{:.0}\" stroke=\"var(--line)\" /><text x={:.0} y={:.1} text-anchor=end>{}</text>",
            WIDTH - 120.0,
            LABEL - 8.0,
            at + 4.0,
            short(us)
        );
        decade += 1.0;
    }
    for (percentile, name) in
        [(0.0, "0"), (90.0, "90"), (99.0, "99"), (99.9, "99.9"), (99.99, "99.99"), (100.0, "max")]
    {
        let at = x(percentile);
        let _ =
            write!(out, "<text x={at:.1} y={:.0} text-anchor=middle>{name}</text>", PLOT + 18.0);
    }
    // Names stand beside the ends of their curves, apart from each other.
    let mut ends: Vec<(f64, &Line)> = curves
        .iter()
        .filter_map(|curve| curve.points.last().map(|point| (y(point.1), curve)))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut taken = f64::MIN;
    for (end, curve) in ends {
        // Hues apart from each other and from Ringway's, of a brightness for light and dark pages.
        let others = curves.iter().filter(|other| !other.own);
        let place = others.clone().position(|other| std::ptr::eq(other, curve)).unwrap_or(0);
        let hue = 70.0 + 290.0 * place as f64 / others.count().max(1) as f64;
        let (colour, width) = if curve.own {
            ("var(--own)".to_owned(), 2.5)
        } else {
            (format!("hsl({hue:.0} 45% 52%)"), 1.4)
        };
        let mut path = String::new();
        for (index, (percentile, us)) in curve.points.iter().enumerate() {
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x(*percentile), y(*us));
        }
        taken = (taken + 13.0).max(end + 4.0);
        let name = escape(&curve.name);
        let _ = write!(
            out,
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width={width} fill=none />\
             <text x={:.0} y={taken:.1} fill=\"{colour}\">{name}</text>",
            WIDTH - 112.0
        );
    }
    out.push_str("</svg></figure>");
}

fn begin(out: &mut String, caption: &str, height: f64) {
    let caption = escape(caption);
    let _ = write!(
        out,
        "<figure><figcaption>{caption}</figcaption><svg viewBox=\"0 0 {WIDTH} {height}\" role=img aria-label=\"{caption}\">"
    );
}

/// A number in few characters.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1} M", v / 1e6),
        v if v >= 1e4 => format!("{:.0} k", v / 1e3),
        v if v >= 1e3 => format!("{:.1} k", v / 1e3),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Bar, bars, escape, short};

    #[test]
    fn numbers_are_short() {
        let told: Vec<_> = [0.52, 12.34, 123.4, 1234.0, 12_345.0, 1_234_567.0].map(short).into();
        assert_eq!(told, ["0.5", "12.3", "123", "1.2 k", "12 k", "1.2 M"]);
    }

    #[test]
    fn text_is_safe() {
        assert_eq!(escape("<a&\">"), "&lt;a&amp;&quot;&gt;");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let mut out = String::new();
        bars(&mut out, "none", &[]);
        assert_eq!(out, "");
        let bar =
            Bar { name: "a".into(), own: true, value: 2.0, split: Some(1.0), reach: (1.0, 3.0) };
        bars(&mut out, "one", &[bar]);
        assert_eq!(out.matches("<rect").count(), 2);
    }
}
