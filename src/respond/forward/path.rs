//! The path as the upstream server gets it: the bytes that the client sent, behind a prefix.

use super::ForwardError;

/// How a route changes the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathRule {
    /// Segments that are taken off the front.
    pub(crate) strip: usize,
    /// What is put before the rest: empty, or `/` and segments, without a slash at its end.
    pub(crate) prefix: Box<[u8]>,
    /// Paths that could be read in two ways are passed on as they are.
    pub(crate) as_sent: bool,
}

impl PathRule {
    /// Appends the target that goes upstream: path and query.
    pub(super) fn write(&self, out: &mut Vec<u8>, target: &[u8]) -> Result<(), ForwardError> {
        if target == b"*" {
            out.extend_from_slice(target);
            return Ok(());
        }
        let end = memchr::memchr(b'?', target).unwrap_or(target.len());
        let (path, query) = target.split_at(end);
        if !self.as_sent && is_ambiguous(path) {
            return Err(ForwardError::Path);
        }
        out.extend_from_slice(&self.prefix);
        let rest = strip(path, self.strip);
        if rest.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(rest);
        out.extend_from_slice(query);
        Ok(())
    }
}

/// What is left of a path without its first segments; it begins with a slash, or is empty.
fn strip(path: &[u8], segments: usize) -> &[u8] {
    let mut rest = path;
    for _ in 0..segments {
        // A run of slashes parts two segments, as it does for routes.
        let begin = rest.iter().position(|&byte| byte != b'/').unwrap_or(rest.len());
        let (_, name) = rest.split_at(begin);
        let end = memchr::memchr(b'/', name).unwrap_or(name.len());
        (_, rest) = name.split_at(end);
    }
    rest
}

/// Whether two servers could read a path differently: a dot segment (also encoded), an encoded
/// separator or NUL, a raw backslash.
fn is_ambiguous(path: &[u8]) -> bool {
    // Without an encoded byte, a dot segment can be seen as it is.
    if memchr::memchr2(b'%', b'\\', path).is_none() {
        return memchr::memchr_iter(b'.', path).any(|at| begins_dot_segment(path, at));
    }
    path.split(|&byte| byte == b'/').any(|segment| {
        let mut bytes = segment.iter().copied();
        let (mut dots, mut others) = (0_u32, false);
        while let Some(byte) = bytes.next() {
            let decoded = match byte {
                b'%' => {
                    let mut digit = || bytes.next().and_then(hex);
                    match digit().zip(digit()) {
                        Some((high, low)) => high << 4 | low,
                        None => return true,
                    }
                }
                plain => plain,
            };
            match decoded {
                0 | b'/' | b'\\' => return true,
                b'.' => dots += 1,
                _ => others = true,
            }
        }
        !others && (1..=2).contains(&dots)
    })
}

/// Whether the dot at this place begins a segment of one dot or of two.
fn begins_dot_segment(path: &[u8], at: usize) -> bool {
    let (before, rest) = path.split_at(at);
    matches!(before, [] | [.., b'/'])
        && matches!(rest, [_] | [_, b'/', ..] | [_, b'.'] | [_, b'.', b'/', ..])
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
