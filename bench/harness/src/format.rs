//! Numbers and words as tables in Markdown want them.

/// Text that may stand in a table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// A number with its thousands apart.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn thousands_are_apart() {
        let shown = [0.4, 999.0, 1000.0, 1_234_567.0, -1234.0].map(|value| number(value, 0));
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "-1,234"]);
        assert_eq!(number(-123.456, 2), "-123.46");
        assert_eq!(number(12_345.678, 1), "12,345.7");
    }
}
