//! Changes to the field lines of responses.

use super::super::FieldLine;

/// Changes to the field lines of responses, in this order: names in `remove` lose their lines, lines
/// in `set` replace those of the same name, lines in `add` follow. At most 32 lines and 4 KiB of
/// them on one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldRules {
    /// Each replaces all lines of its name.
    pub set: Vec<FieldLine>,
    /// Each comes in addition to what there is.
    pub add: Vec<FieldLine>,
    /// Names whose lines are left out. In any case of letters.
    pub remove: Vec<String>,
}

/// The name of [`FieldRules::strict`] in a file.
pub(crate) const STRICT: &str = "strict";

/// What [`FieldRules::strict`] sets.
const STRICT_LINES: [(&str, &str); 6] = [
    ("Strict-Transport-Security", "max-age=31536000"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'",
    ),
];

impl FieldRules {
    /// A modest set of fields that make browsers careful and break few pages: HTTPS alone for a year
    /// (RFC 6797), no guessing of types, no frames of other sites around a page, no full address as
    /// referrer to other sites, no handle for windows of other sites, no plug-ins, forms and base
    /// addresses of other sites. Scripts and styles are as free as without it.
    pub fn strict() -> Self {
        let lines = STRICT_LINES.iter().map(|(name, value)| FieldLine::new(name, value));
        Self { set: lines.filter_map(Result::ok).collect(), ..Self::default() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// These rules, and then others.
    #[must_use]
    pub fn then(&self, others: &Self) -> Self {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        let replaced = |name: &str| {
            others.remove.iter().any(|other| same(name, other))
                || others.set.iter().any(|other| same(name, other.name()))
        };
        let kept = |lines: &[FieldLine]| -> Vec<FieldLine> {
            lines.iter().filter(|line| !replaced(line.name())).cloned().collect()
        };
        let (mut set, mut add, mut remove) =
            (kept(&self.set), kept(&self.add), self.remove.clone());
        set.extend_from_slice(&others.set);
        add.extend_from_slice(&others.add);
        remove.extend_from_slice(&others.remove);
        Self { set, add, remove }
    }

    /// The lines of `set` and `add`.
    pub fn lines(&self) -> impl Iterator<Item = &FieldLine> {
        self.set.iter().chain(&self.add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> FieldLine {
        text.parse().unwrap()
    }

    #[test]
    fn all_lines_of_the_strict_rules_are_valid() {
        assert_eq!(FieldRules::strict().set.len(), STRICT_LINES.len());
    }

    #[test]
    fn later_rules_replace_and_remove_earlier_lines() {
        let site = FieldRules {
            set: vec![line("X-A: site"), line("X-B: site")],
            add: vec![line("X-C: site"), line("X-D: site")],
            remove: vec!["X-Powered-By".into()],
        };
        let route = FieldRules {
            set: vec![line("x-a: route")],
            add: vec![line("X-C: route")],
            remove: vec!["x-d".into()],
        };
        let both = site.then(&route);
        let lines: Vec<_> =
            both.lines().map(|line| format!("{}: {}", line.name(), line.value())).collect();
        assert_eq!(lines, ["X-B: site", "x-a: route", "X-C: site", "X-C: route"]);
        assert_eq!(both.remove, ["X-Powered-By", "x-d"]);
    }
}
