//! Which of the operator's rules on caching a file has.
//!
//! The invariant: the rules stand in the order in which they are tried, so that the first that fits counts.

use super::path::SitePath;
use crate::config::CacheRule;

/// Rules on caching, by path and media type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caching(Vec<CacheRule>);

/// A rule by its number.
pub(crate) type RuleNumber = u8;

impl Caching {
    /// These rules, of which there are at most 64.
    pub(crate) fn new(rules: &[CacheRule]) -> Self {
        let mut rules = rules.to_vec();
        rules.sort_by_key(CacheRule::rank);
        Self(rules)
    }

    /// The rule for a file of this media type, asked for by this path as it came.
    pub(super) fn choose(&self, path: &[u8], media_type: &str) -> Option<RuleNumber> {
        if self.0.is_empty() {
            return None;
        }
        let resolved = SitePath::resolve(path).ok()?;
        let bare = resolved.as_bytes();
        // A folder's path keeps its slash, which its index file is asked for by.
        let whole = if resolved.ends_in_slash() && !resolved.is_root() {
            &[bare, b"/"].concat()
        } else {
            bare
        };
        let media_type = media_type.split(';').next().unwrap_or(media_type).trim_end();
        let fits = |rule: &CacheRule| match (rule.pattern.path(), rule.pattern.media_type()) {
            (Some(pattern), _) => path_fits(pattern.as_bytes(), whole),
            (None, Some(pattern)) => media_type_fits(pattern, media_type),
            (None, None) => false,
        };
        let number = self.0.iter().position(fits)?;
        RuleNumber::try_from(number).ok()
    }

    /// The value of a rule.
    pub(super) fn value(&self, rule: RuleNumber) -> Option<&[u8]> {
        self.0.get(usize::from(rule)).map(|rule| rule.line.value().as_bytes())
    }

    /// Bytes that the longest line takes in a head.
    pub(crate) fn longest_line(&self) -> usize {
        // Without rules no line is added.
        self.0.iter().map(|rule| rule.line.wire_bytes()).max().unwrap_or(0)
    }
}

/// Whether a path fits a pattern, in which `*` stands for any bytes. Each piece between stars is taken where
/// it is first found, which finds a fit if there is one: a later place leaves less for the pieces behind.
fn path_fits(pattern: &[u8], path: &[u8]) -> bool {
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = pieces.next().and_then(|first| path.strip_prefix(first)) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = memchr::memmem::find(rest, piece) else { return false };
        let (_, behind) = rest.split_at(at + piece.len());
        rest = behind;
    }
    false
}

fn media_type_fits(pattern: &str, media_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        // With its slash.
        Some(kind) => media_type.starts_with(kind),
        None => media_type == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the pattern means, by trying all.
    fn model(pattern: &[u8], path: &[u8]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((b'*', pattern)), _) => {
                (0..=path.len()).any(|taken| model(pattern, path.split_at(taken).1))
            }
            (Some((own, pattern)), Some((other, path))) => own == other && model(pattern, path),
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn stars_stand_for_anything(pattern in "[ab*]{0,7}", path in "[ab]{0,9}") {
            let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
            proptest::prop_assert_eq!(path_fits(pattern, path), model(pattern, path));
        }
    }

    #[test]
    fn the_first_rule_that_fits_is_chosen() {
        let rule = |(pattern, value): (&str, &str)| {
            CacheRule::new(pattern.parse().unwrap(), value).unwrap()
        };
        let rules = [
            ("image/*", "image"),
            ("/assets/*", "assets"),
            ("*.js", "scripts"),
            ("/assets/*.js", "asset scripts"),
            ("text/html", "pages"),
            ("/docs/", "docs"),
        ];
        let caching = Caching::new(&rules.map(rule));
        let chosen = |path: &str, media_type: &str| {
            let rule = caching.choose(path.as_bytes(), media_type)?;
            str::from_utf8(caching.value(rule)?).ok()
        };
        for (path, media_type, expected) in [
            ("/assets/a.png", "image/png", Some("assets")),
            ("/assets/x/a.js", "text/javascript; charset=utf-8", Some("asset scripts")),
            ("/%61ssets/a.png", "image/png", Some("assets")),
            ("/a.js", "text/javascript", Some("scripts")),
            ("/a.png", "image/png", Some("image")),
            ("/", "text/html; charset=utf-8", Some("pages")),
            ("/docs/", "text/html", Some("docs")),
            ("/docs", "text/plain", None),
            ("/a.txt", "text/plain; charset=utf-8", None),
            ("/imagex", "imagex/png", None),
        ] {
            assert_eq!(chosen(path, media_type), expected, "{path}");
        }
        assert_eq!(Caching::default().choose(b"/", "text/html"), None);
        assert_eq!(caching.longest_line(), "Cache-Control: asset scripts\r\n".len());
        assert_eq!(Caching::default().longest_line(), 0);
    }
}
