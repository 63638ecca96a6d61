//! Redirects: where to, as a text with places for parts of the request.

use std::{fmt, str::FromStr};

/// A redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// Where to.
    pub to: RedirectTarget,
    /// Default: [`RedirectStatus::Permanent`].
    pub status: RedirectStatus,
}

impl Redirect {
    /// The same URL by `https` at this port.
    pub(crate) fn to_https(port: u16) -> Self {
        let text = |text: &str| RedirectPart::Text(text.to_owned());
        let mut parts = vec![text("https://"), RedirectPart::Host];
        let mut shown = "https://{host}".to_owned();
        if port != 443 {
            let port = format!(":{port}");
            parts.push(text(&port));
            shown.push_str(&port);
        }
        parts.extend([RedirectPart::Path, RedirectPart::Query]);
        shown.push_str("{path}{query}");
        Self::new(RedirectTarget { text: shown, parts })
    }

    /// A permanent redirect.
    pub fn new(to: RedirectTarget) -> Self {
        Self { to, status: RedirectStatus::default() }
    }
}

/// The status of a redirect (RFC 9110 section 15.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectStatus {
    /// 301; clients may ask again by GET.
    Moved,
    /// 302; for this once, and clients may ask again by GET.
    Found,
    /// 303; the answer is elsewhere, by GET.
    SeeOther,
    /// 307; for this once, by the same method.
    Temporary,
    /// 308; from now on, by the same method.
    #[default]
    Permanent,
}

impl RedirectStatus {
    /// The status with this code, if it is that of a redirect.
    pub fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            301 => Self::Moved,
            302 => Self::Found,
            303 => Self::SeeOther,
            307 => Self::Temporary,
            308 => Self::Permanent,
            _ => return None,
        })
    }

    /// Its code.
    pub fn code(self) -> u16 {
        match self {
            Self::Moved => 301,
            Self::Found => 302,
            Self::SeeOther => 303,
            Self::Temporary => 307,
            Self::Permanent => 308,
        }
    }
}

/// Where a redirect leads: an `https` or `http` URL, or a path of the same site, in which parts of
/// the request may stand. At most 2,048 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectTarget {
    text: String,
    parts: Vec<RedirectPart>,
}

/// A piece of a redirect's target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectPart {
    /// This text.
    Text(String),
    /// `{host}`: the host that was asked for, without its port.
    Host,
    /// `{path}`: the path that was asked for, which begins with one slash.
    Path,
    /// `{rest}`: what follows the route's own path; empty, or it begins with one slash.
    Rest,
    /// `{query}`: the query with its `?`; empty if there is none.
    Query,
}

/// The longest target, in bytes.
const MAX_TARGET_BYTES: usize = 2_048;

impl RedirectTarget {
    /// Its pieces, in order.
    pub fn parts(&self) -> &[RedirectPart] {
        &self.parts
    }
}

impl fmt::Display for RedirectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RedirectTarget {
    type Err = RedirectTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_TARGET_BYTES {
            return Err(RedirectTargetError::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RedirectTargetError::Character);
        }
        let has_scheme = ["https://", "http://"].iter().any(|scheme| {
            text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        });
        let is_path = text.starts_with('/') && !text.starts_with("//") && !text.starts_with("/\\");
        if !has_scheme && !is_path {
            return Err(RedirectTargetError::Form);
        }
        let mut parts: Vec<RedirectPart> = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(RedirectPart::Text(before.to_owned()));
            }
            let (name, behind) = from
                .strip_prefix('{')
                .and_then(|inside| inside.split_once('}'))
                .ok_or(RedirectTargetError::Place)?;
            let part = match name {
                "host" => RedirectPart::Host,
                "path" => RedirectPart::Path,
                "rest" => RedirectPart::Rest,
                "query" => RedirectPart::Query,
                _ => return Err(RedirectTargetError::Place),
            };
            let is_path = matches!(part, RedirectPart::Path | RedirectPart::Rest);
            if is_path && before.ends_with('/') {
                return Err(RedirectTargetError::Slash);
            }
            parts.push(part);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(RedirectPart::Text(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

/// Why a text is no target of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectTargetError {
    /// It is longer than 2,048 bytes.
    TooLong,
    /// It holds a space, a control character or one outside ASCII.
    Character,
    /// It is neither a URL nor a path.
    Form,
    /// A brace, and no place that is known.
    Place,
    /// A slash before `{path}` or `{rest}`, which bring their own.
    Slash,
}

impl fmt::Display for RedirectTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a target has at most 2048 bytes",
            Self::Character => "percent-encode spaces, control characters and letters beyond ASCII",
            Self::Form => {
                "begin with https://HOST, http://HOST or a single slash, as in \
                 https://example.com{path}{query}"
            }
            Self::Place => "braces hold host, path, rest or query, as in https://{host}{path}",
            Self::Slash => {
                "{path} and {rest} begin with a slash of their own; leave out the one before"
            }
        })
    }
}

impl std::error::Error for RedirectTargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_to_https_are_those_that_could_be_written() {
        for port in [443, 8443] {
            let to = Redirect::to_https(port).to;
            assert_eq!(to.to_string().parse(), Ok(to));
        }
    }

    #[test]
    fn targets_are_taken_apart() {
        let target: RedirectTarget = "https://{host}/new{rest}{query}#top".parse().unwrap();
        let text = |text: &str| RedirectPart::Text(text.to_owned());
        assert_eq!(
            target.parts(),
            [
                text("https://"),
                RedirectPart::Host,
                text("/new"),
                RedirectPart::Rest,
                RedirectPart::Query,
                text("#top"),
            ]
        );
        for (target, error) in [
            ("example.com", RedirectTargetError::Form),
            ("//example.com", RedirectTargetError::Form),
            ("https:///x", RedirectTargetError::Form),
            ("javascript:alert(1)", RedirectTargetError::Form),
            ("{path}", RedirectTargetError::Form),
            ("/{path}", RedirectTargetError::Slash),
            ("https://x/{rest}", RedirectTargetError::Slash),
            ("/a b", RedirectTargetError::Character),
            ("/a\r\nSet-Cookie:x", RedirectTargetError::Character),
            ("/{user}", RedirectTargetError::Place),
            ("/{host", RedirectTargetError::Place),
            ("/host}", RedirectTargetError::Place),
        ] {
            assert_eq!(target.parse::<RedirectTarget>(), Err(error), "{target}");
        }
    }
}
