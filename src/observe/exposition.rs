//! The two text formats of metrics: OpenMetrics for clients that ask for it, as Prometheus
//! does, and the one before it for everybody else.
//!
//! The invariant: both hold the same samples under the same names. In the older one a counter's
//! family is called like its samples, units have no lines of their own, and the text has no end.

/// A format of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Version 0.0.4 of Prometheus' text format.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// What a client wants whose `Accept` field says this.
    pub fn wanted(accept: &[u8]) -> Self {
        const NAME: &[u8] = b"application/openmetrics-text";
        let named = accept.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME));
        if named { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// A text in OpenMetrics, in this format.
    pub(super) fn of(self, text: String) -> String {
        match self {
            Self::Prometheus => older(&text),
            Self::OpenMetrics => text,
        }
    }
}

fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            // The next line names its owner.
            help = said.split_once(' ').map(|(_, words)| words);
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap_or((family, "untyped"));
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some(words) = help.take() {
                older.extend(["# HELP ", name, total, " ", words, "\n"]);
            }
            older.extend(["# TYPE ", name, total, " ", kind, "\n"]);
        } else if !line.starts_with("# ") {
            older.extend([line, "\n"]);
        }
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for (accept, wanted) in [
            (&b""[..], Exposition::Prometheus),
            (b"*/*", Exposition::Prometheus),
            (b"text/plain;version=0.0.4", Exposition::Prometheus),
            (
                b"application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
        ] {
            assert_eq!(Exposition::wanted(accept), wanted);
        }
    }

    #[test]
    fn counters_are_called_like_their_samples() {
        let text = "# HELP a Things.\n# TYPE a counter\n# UNIT a bytes\na_total{x=\"# HELP\"} 1\n\
                    # HELP b Others\n# TYPE b gauge\nb 2\n# EOF\n";
        assert_eq!(
            Exposition::Prometheus.of(text.to_owned()),
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"# HELP\"} 1\n\
             # HELP b Others\n# TYPE b gauge\nb 2\n"
        );
        assert_eq!(Exposition::OpenMetrics.of(text.to_owned()), text);
    }
}
