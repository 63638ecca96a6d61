//! `Cache-Control` by path or by media type.

use std::{fmt, str::FromStr};

use crate::config::{ConfigError, FieldLine, check::within};

/// What files of a route have in `Cache-Control` whose path or media type fits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheRule {
    /// What it is for. Of several that fit, the longest path counts, and any path before a media type.
    pub pattern: CachePattern,
    /// The line.
    pub line: FieldLine,
}

/// Which files a [`CacheRule`] is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// Without a slash at its front; `*` stands for any characters.
    Path(String),
    /// In lower case, without parameters; `type/*` for all of a type.
    Media(String),
}

/// The most rules of a route.
pub(super) const MAX_RULES: usize = 64;

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 256;

/// The most stars in a path.
const MAX_STARS: usize = 4;

impl CacheRule {
    /// A rule for this pattern.
    ///
    /// # Errors
    /// As [`FieldLine::new`].
    pub fn new(pattern: CachePattern, value: &str) -> Result<Self, crate::config::FieldLineError> {
        FieldLine::new("Cache-Control", value).map(|line| Self { pattern, line })
    }

    /// Its place among others: lower ones are tried first.
    pub(crate) fn rank(&self) -> (bool, std::cmp::Reverse<usize>) {
        let (is_media, length) = match &self.pattern.0 {
            Pattern::Path(path) => (false, path.len()),
            Pattern::Media(media) => (true, media.len()),
        };
        (is_media, std::cmp::Reverse(length))
    }
}

impl CachePattern {
    /// The path, without a slash at its front, if it is one.
    pub(crate) fn path(&self) -> Option<&str> {
        match &self.0 {
            Pattern::Path(path) => Some(path),
            Pattern::Media(_) => None,
        }
    }

    /// The media type, if it is one.
    pub(crate) fn media_type(&self) -> Option<&str> {
        match &self.0 {
            Pattern::Path(_) => None,
            Pattern::Media(media) => Some(media),
        }
    }
}

impl fmt::Display for CachePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Path(path) if path.starts_with('*') => f.write_str(path),
            Pattern::Path(path) => write!(f, "/{path}"),
            Pattern::Media(media) => f.write_str(media),
        }
    }
}

impl FromStr for CachePattern {
    type Err = CachePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > MAX_PATTERN || text.chars().any(char::is_control) {
            return Err(CachePatternError);
        }
        if text.starts_with(['/', '*']) {
            if text.matches('*').count() > MAX_STARS {
                return Err(CachePatternError);
            }
            return Ok(Self(Pattern::Path(text.strip_prefix('/').unwrap_or(text).to_owned())));
        }
        let is_token = |part: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !part.is_empty() && part.bytes().all(fits)
        };
        match text.split_once('/') {
            Some((kind, sub)) if is_token(kind) && (sub == "*" || is_token(sub)) => {
                Ok(Self(Pattern::Media(text.to_ascii_lowercase())))
            }
            _ => Err(CachePatternError),
        }
    }
}

/// A text is neither the pattern of a path nor a media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePatternError;

impl fmt::Display for CachePatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "write a path, such as /assets/* or *.js, with at most 4 stars and 256 characters, or a \
             media type, such as text/html or image/*",
        )
    }
}

impl std::error::Error for CachePatternError {}

/// Checks the rules of a route, which serves files or does not.
pub(super) fn check(rules: &[CacheRule], serves_files: bool) -> Result<(), ConfigError> {
    if !rules.is_empty() && !serves_files {
        return Err(ConfigError::new(
            "cache_control",
            "patterns are for routes with files",
            "give one text, or \"*\" alone",
        ));
    }
    within("cache_control", rules.len(), 0, MAX_RULES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_path_or_a_media_type() {
        for text in ["/assets/*", "*.js", "/", "*", "/a b", "text/html", "image/*", "*/x/*"] {
            assert_eq!(text.parse::<CachePattern>().unwrap().to_string(), text);
        }
        assert_eq!("Image/SVG+XML".parse::<CachePattern>().unwrap().to_string(), "image/svg+xml");
        for text in
            ["", "html", "text/", "/html;q", "text/a;charset=x", "/a\n", "/*/*/*/*/*", "text/h*"]
        {
            let long = "/".repeat(257);
            let expected = text != "/html;q";
            assert_eq!(text.parse::<CachePattern>().is_err(), expected, "{text}");
            assert!(long.parse::<CachePattern>().is_err());
        }
    }

    #[test]
    fn paths_come_before_media_types_and_long_ones_before_short_ones() {
        let rule = |text: &str| CacheRule::new(text.parse().unwrap(), "no-cache").unwrap();
        let mut rules: Vec<_> = ["text/html", "*.js", "image/*", "/assets/*", "*"].map(rule).into();
        rules.sort_by_key(CacheRule::rank);
        let order: Vec<_> = rules.iter().map(|rule| rule.pattern.to_string()).collect();
        assert_eq!(order, ["/assets/*", "*.js", "*", "text/html", "image/*"]);
    }
}
