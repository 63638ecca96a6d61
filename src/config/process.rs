//! What the program gives up of its process once it has opened what it needs. A [`UserSpec`] can
//! only be made of what may be a user and a group.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What the process may do after the start. Applied by [`Prepared::confine`] alone, which is what
/// `ringway serve` calls: a library does not change the process that it is in unasked.
///
/// [`Prepared::confine`]: crate::server::Prepared::confine
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// The user to become once everything privileged is open. Default: the user who started it.
    pub user: Option<UserSpec>,
    /// Whether the process is confined to the files that it serves and keeps.
    /// Default: [`LandlockMode::Auto`].
    pub landlock: LandlockMode,
    /// Whether a crash may leave a memory image, and others of the same user may look into the
    /// process: both hold private keys. Default: no.
    pub core_dumps: bool,
    /// Folders that may be read beside those that the configuration names, so that a later one may
    /// name what is below them. Default: none.
    pub allow_read: Vec<PathBuf>,
    /// TCP ports that may be listened on beside those of the start, so that a later configuration may
    /// name them; at most 64. Ports below 1024 need a right besides. Default: none.
    pub allow_bind: Vec<u16>,
    /// TCP ports of upstream servers that may be connected to beside those of the start, likewise; at
    /// most 64. Default: none.
    pub allow_connect: Vec<u16>,
    /// The Unix socket at which the program answers `ringway reload`, for its own user alone, at most
    /// 107 bytes. Default: none. A library has none.
    pub control: Option<PathBuf>,
}

/// Whether Landlock confines the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LandlockMode {
    /// As far as the kernel has it; the start block says how far.
    #[default]
    Auto,
    /// The server refuses to start where the kernel has none.
    On,
    /// Not at all.
    Off,
}

/// A user, and maybe a group: names or numbers, 1 to 256 bytes each, without white space, control
/// characters and further colons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSpec {
    user: String,
    group: Option<String>,
}

/// The longest name (`LOGIN_NAME_MAX` of Linux).
const LONGEST_NAME: usize = 256;

impl UserSpec {
    /// The user, by name or number.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The group, by name or number, if it is not to be the user's own.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }
}

impl FromStr for UserSpec {
    type Err = UserSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let is_name = |name: &str| {
            (1..=LONGEST_NAME).contains(&name.len())
                && !name.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control())
        };
        if !is_name(user) || !group.is_none_or(is_name) {
            return Err(UserSpecError);
        }
        Ok(Self { user: user.to_owned(), group: group.map(str::to_owned) })
    }
}

impl fmt::Display for UserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

/// A text that names no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserSpecError;

impl fmt::Display for UserSpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write NAME or NAME:GROUP, names or numbers, such as www-data or 998:998")
    }
}

impl std::error::Error for UserSpecError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_have_a_group() {
        let spec: UserSpec = "www-data".parse().unwrap();
        assert_eq!((spec.user(), spec.group()), ("www-data", None));
        let spec: UserSpec = "998:web".parse().unwrap();
        assert_eq!((spec.user(), spec.group()), ("998", Some("web")));
        assert_eq!(spec.to_string(), "998:web");
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let long = "x".repeat(257);
        for text in ["", ":", "www:", ":web", "a:b:c", "a b", "a\n", "a\0", &long] {
            assert_eq!(text.parse::<UserSpec>(), Err(UserSpecError), "{text:?}");
        }
    }
}
