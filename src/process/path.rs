//! From the path of a request target to a path below the served folder.
//!
//! The invariant: a [`SitePath`] is a sequence of zero or more segments joined by single slashes,
//! with none at either end; no segment is empty, `.` or `..`, none begins with a dot (save
//! `.well-known` in front), and no byte is a control character, a backslash, or a slash that came
//! encoded. So joining it to a folder stays below that folder, as far as names go; symbolic links
//! are checked where it is opened (`crate::files`).

use std::borrow::Cow;
use std::fmt;

use super::percent;
use crate::respond::Status;

#[cfg(test)]
mod tests;

/// The longest resolved path, in bytes: Linux's `PATH_MAX` (4,096 with its NUL), less room for an
/// index file's name and a coding's suffix.
pub const MAX_PATH_BYTES: usize = 3_800;

/// The longest segment, in bytes: Linux's `NAME_MAX`.
pub const MAX_SEGMENT_BYTES: usize = 255;

/// The most segments of a path.
pub const MAX_DEPTH: usize = 64;

/// The only name beginning with a dot that is served, and only as the first segment (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// A path below the served folder: decoded, without a slash at either end. The folder itself is
/// the empty path. Borrows from the request where nothing had to be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePath<'r> {
    bytes: Cow<'r, [u8]>,
    ends_in_slash: bool,
}

impl<'r> SitePath<'r> {
    /// Resolves the path of a request target (what stands before `?`), percent-decoding it exactly
    /// once and merging repeated slashes.
    pub fn resolve(raw: &'r [u8]) -> Result<Self, PathError> {
        let relative = raw.strip_prefix(b"/").ok_or(PathError::NotAbsolute)?;
        if is_plain(relative) {
            let ends_in_slash = relative.last().is_none_or(|&byte| byte == b'/');
            let bytes = relative.strip_suffix(b"/").unwrap_or(relative);
            return Ok(Self { bytes: Cow::Borrowed(bytes), ends_in_slash });
        }
        Self::resolve_any(relative)
    }

    /// The same for what is not plain, or may not be.
    fn resolve_any(relative: &'r [u8]) -> Result<Self, PathError> {
        let bytes = if is_verbatim(relative)? {
            Cow::Borrowed(relative)
        } else {
            Cow::Owned(decode(relative)?)
        };
        let ends_in_slash = bytes.last().is_none_or(|&byte| byte == b'/');
        let bytes = match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.strip_suffix(b"/").unwrap_or(bytes)),
            Cow::Owned(mut bytes) => {
                bytes.pop_if(|byte| *byte == b'/');
                Cow::Owned(bytes)
            }
        };
        check(&bytes)?;
        Ok(Self { bytes, ends_in_slash })
    }

    /// The path's bytes, relative to the served folder; empty for the folder itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What follows the first `prefix` bytes, which are whole segments: the path below a route's
    /// folder. None if there are fewer.
    pub fn below(&self, prefix: usize) -> Option<&[u8]> {
        let rest = self.bytes.get(prefix..)?;
        Some(rest.strip_prefix(b"/").unwrap_or(rest))
    }

    /// Whether the request named it with a slash at its end, as it does for the folder itself.
    pub fn ends_in_slash(&self) -> bool {
        self.ends_in_slash
    }

    /// Whether this is the served folder itself.
    pub fn is_root(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The last segment; empty for the folder itself.
    pub fn file_name(&self) -> &[u8] {
        self.bytes.rsplit(|&byte| byte == b'/').next().unwrap_or(&self.bytes)
    }
}

/// Checks a path that names no file of ours: that no reader can take it for another path. Slashes
/// that came encoded stay within their segments and are allowed.
///
/// # Errors
/// It does not begin with a slash, has a `.` or `..` segment, encoded or not, a backslash, a `%`
/// without digits, or a control character, encoded or not.
pub fn check_sound(raw: &[u8]) -> Result<(), PathError> {
    let relative = raw.strip_prefix(b"/").ok_or(PathError::NotAbsolute)?;
    if is_plain(relative) {
        return Ok(());
    }
    for segment in relative.split(|&byte| byte == b'/') {
        // Of a segment that can be `.` or `..`, each dot is encoded at most.
        let mut dots = 0;
        let mut others = false;
        let mut rest = segment.iter().copied();
        while let Some(byte) = rest.next() {
            let byte = match byte {
                b'%' => {
                    let (high, low) = rest.next().zip(rest.next()).ok_or(PathError::Percent)?;
                    percent::decode_pair(high, low).ok_or(PathError::Percent)?
                }
                b'\\' => return Err(PathError::Backslash),
                b'?' | b'#' => return Err(PathError::Delimiter),
                byte => byte,
            };
            if byte.is_ascii_control() {
                return Err(PathError::Control);
            }
            if byte == b'.' { dots += 1 } else { others = true }
        }
        if !others && (dots == 1 || dots == 2) {
            return Err(PathError::DotSegment);
        }
    }
    Ok(())
}

/// Writes the reference to a path's slash form, for a `Location` field: the resolved path encoded
/// anew, a slash, and the query as it came.
///
/// It begins with exactly one slash, so that it can never name another host (`//host`, or `/\host`
/// as browsers read it): a resolved path neither begins with a slash nor holds a backslash.
pub fn slash_redirect(path: &SitePath<'_>, query: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(b'/');
    if !path.is_root() {
        out.extend(percent::path(path.as_bytes()));
        out.push(b'/');
    }
    if let Some(query) = query {
        out.push(b'?');
        out.extend(percent::query(query));
    }
}

/// Whether each byte may stand anywhere in a path that is plain: no control character, nothing
/// that encodes, delimits or is mistaken for a slash.
static PLAIN: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            !((byte as u8).is_ascii_control() || matches!(byte as u8, b'%' | b'?' | b'#' | b'\\'));
        byte += 1;
    }
    table
};

/// Whether the path is, as most are, so short and of such bytes that it resolves to itself: seen in
/// one pass. False decides nothing.
fn is_plain(relative: &[u8]) -> bool {
    // No more than MAX_DEPTH segments, none as long as MAX_SEGMENT_BYTES, fit into so many bytes.
    if relative.len() >= 2 * MAX_DEPTH {
        return false;
    }
    let mut previous = b'/';
    relative.iter().all(|&byte| {
        let begins_badly = previous == b'/' && matches!(byte, b'/' | b'.');
        previous = byte;
        PLAIN[usize::from(byte)] && !begins_badly
    })
}

/// Whether the path already is what decoding it and merging its slashes would make of it.
fn is_verbatim(relative: &[u8]) -> Result<bool, PathError> {
    let mut verbatim = true;
    let mut previous = b'/';
    for &byte in relative {
        match byte {
            b'%' => verbatim = false,
            b'/' if previous == b'/' => verbatim = false,
            b'?' | b'#' => return Err(PathError::Delimiter),
            // Verbatim.
            _ => {}
        }
        previous = byte;
    }
    Ok(verbatim)
}

/// Percent-decodes once and merges repeated slashes, dropping those in front.
fn decode(relative: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut decoded = Vec::with_capacity(relative.len());
    let mut rest = relative.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let (high, low) = rest.next().zip(rest.next()).ok_or(PathError::Percent)?;
                match percent::decode_pair(high, low).ok_or(PathError::Percent)? {
                    b'/' => return Err(PathError::EncodedSlash),
                    byte => decoded.push(byte),
                }
            }
            b'/' if decoded.last().is_none_or(|&byte| byte == b'/') => {}
            byte => decoded.push(byte),
        }
    }
    Ok(decoded)
}

/// Checks every segment of a decoded path.
fn check(path: &[u8]) -> Result<(), PathError> {
    if path.is_empty() {
        return Ok(());
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    for (depth, segment) in path.split(|&byte| byte == b'/').enumerate() {
        check_segment(segment)?;
        if hides(depth, segment) {
            return Err(PathError::Hidden);
        }
        if depth >= MAX_DEPTH {
            return Err(PathError::TooDeep);
        }
    }
    Ok(())
}

/// Whether a segment hides what is below it: dotfiles are not served.
fn hides(depth: usize, segment: &[u8]) -> bool {
    segment.starts_with(b".") && !(depth == 0 && segment == WELL_KNOWN)
}

/// Whether a path below the served folder has a hidden name in it. For where a symbolic link leads:
/// a path that a client names is checked by [`SitePath::resolve`].
///
/// Names that begin with two dots do not count: in the volumes of Kubernetes every file is a link
/// into `..data`, which is a link to a folder such as `..2026_11_28_07_04_40.1234567890`.
pub fn is_hidden(path: &[u8]) -> bool {
    let mut segments = path.split(|&byte| byte == b'/').enumerate();
    segments.any(|(depth, segment)| hides(depth, segment) && !segment.starts_with(b".."))
}

fn check_segment(segment: &[u8]) -> Result<(), PathError> {
    if matches!(segment, b"." | b"..") {
        return Err(PathError::DotSegment);
    }
    for &byte in segment {
        if byte == b'\\' {
            return Err(PathError::Backslash);
        }
        if byte.is_ascii_control() {
            return Err(PathError::Control);
        }
    }
    if segment.len() > MAX_SEGMENT_BYTES {
        return Err(PathError::TooLong);
    }
    Ok(())
}

/// Whether a file of this name can be asked for at all, and so belongs in a listing.
pub fn is_reachable(name: &[u8]) -> bool {
    !name.is_empty()
        && !name.starts_with(b".")
        && !name.contains(&b'/')
        && check_segment(name).is_ok()
}

/// Why a path names nothing that could be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It does not begin with a slash.
    NotAbsolute,
    /// A raw `?` or `#`, which end a path (RFC 3986 section 3.3).
    Delimiter,
    /// A `%` without two hexadecimal digits after it.
    Percent,
    /// A control character, NUL included.
    Control,
    /// A backslash, which some readers take for a slash.
    Backslash,
    /// `%2F`: no file's name holds a slash.
    EncodedSlash,
    /// A `.` or `..` segment; clients resolve those before they ask (RFC 3986 section 5.2.4).
    DotSegment,
    /// A segment that begins with a dot.
    Hidden,
    /// Longer than [`MAX_PATH_BYTES`], or a segment longer than [`MAX_SEGMENT_BYTES`].
    TooLong,
    /// More than [`MAX_DEPTH`] segments.
    TooDeep,
}

impl PathError {
    /// The status that the client gets: 400 for what no path may look like, 404 for a well-formed
    /// path that can name no file here.
    pub fn status(self) -> Status {
        match self {
            Self::NotAbsolute
            | Self::Delimiter
            | Self::Percent
            | Self::Control
            | Self::Backslash
            | Self::DotSegment => Status::BadRequest,
            Self::EncodedSlash | Self::Hidden | Self::TooLong | Self::TooDeep => Status::NotFound,
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::Delimiter => "the path holds a raw '?' or '#'",
            Self::Percent => "the path holds a '%' without two hexadecimal digits",
            Self::Control => "the path holds a control character",
            Self::Backslash => "the path holds a backslash",
            Self::EncodedSlash => "the path holds an encoded slash",
            Self::DotSegment => "the path holds a '.' or '..' segment",
            Self::Hidden => "the path names a hidden file",
            Self::TooLong => "the path is longer than a file's name can be",
            Self::TooDeep => "the path has too many segments",
        })
    }
}

impl std::error::Error for PathError {}
