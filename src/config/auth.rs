//! Who may ask for what a route has, by name and password.
//!
//! The invariant: an [`AuthUser`] exists only with a hash of a known form whose cost is bounded, so
//! that checking a password never takes more memory or time than is accounted for.

use std::{fmt, fs::File, io::Read, path::PathBuf};

use super::check::{ConfigError, within};

/// Users with their passwords' hashes (RFC 7617).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthOptions {
    /// What clients show when they ask for name and password: 1 to 64 printable characters of ASCII,
    /// neither `"` nor `\`. Default: `restricted`, where it is empty.
    pub realm: String,
    /// Users, as `name:hash`; with those of the file 1 to 10,000.
    pub users: Vec<String>,
    /// A file of such lines, at most 1 MiB, as `htpasswd -B` and `ringway hash-password` write them.
    /// Empty lines and lines that begin with `#` are skipped. Read at the start and at each reload.
    pub file: Option<PathBuf>,
}

/// The largest file of users, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The most users.
const MAX_USERS: usize = 10_000;

/// The longest line of a user, in bytes.
const MAX_LINE: usize = 512;

/// The highest cost of bcrypt: a second or so for a password.
const MAX_BCRYPT_COST: u32 = 14;

/// What argon2 may take for a password, in KiB.
pub(crate) const MAX_ARGON2_KIB: u32 = 64 << 10;

/// The most passes of argon2.
const MAX_ARGON2_PASSES: u32 = 16;

/// The most lanes of argon2.
const MAX_ARGON2_LANES: u32 = 16;

/// A user with the hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct AuthUser {
    pub(crate) name: String,
    pub(crate) hash: PasswordHash,
}

/// A hash of a password, as text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PasswordHash {
    /// `$2b$…`, 60 characters.
    Bcrypt(String),
    /// `$argon2id$…`, in the form of PHC strings.
    Argon2(String),
}

impl fmt::Debug for AuthUser {
    /// Without the hash, which is half a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthUser({:?})", self.name)
    }
}

impl AuthUser {
    /// Reads `name:hash`.
    fn parse(line: &str) -> Result<Self, String> {
        let (name, hash) = line.split_once(':').ok_or("write name:hash")?;
        if name.is_empty() || line.len() > MAX_LINE || line.chars().any(char::is_control) {
            return Err(format!("a name has 1 character or more, a line at most {MAX_LINE}"));
        }
        Ok(Self { name: name.to_owned(), hash: PasswordHash::parse(hash)? })
    }
}

impl PasswordHash {
    fn parse(hash: &str) -> Result<Self, String> {
        let parts: Vec<_> = hash.split('$').collect();
        match parts.as_slice() {
            ["", "2a" | "2b" | "2y", cost, rest] if hash.len() == 60 && rest.len() == 53 => {
                let cost = cost.parse().ok().filter(|cost| (4..=MAX_BCRYPT_COST).contains(cost));
                cost.ok_or(format!("bcrypt has a cost of 4 to {MAX_BCRYPT_COST}"))?;
                Ok(Self::Bcrypt(hash.to_owned()))
            }
            ["", "argon2id", "v=19", costs, _salt, _output] => {
                let cost = |name: &str| -> Option<u32> {
                    let mut named = costs.split(',').filter_map(|cost| cost.split_once('='));
                    named.find(|(own, _)| *own == name)?.1.parse().ok()
                };
                let bounded =
                    |name, most| cost(name).is_some_and(|cost| (1..=most).contains(&cost));
                if !(bounded("m", MAX_ARGON2_KIB)
                    && bounded("t", MAX_ARGON2_PASSES)
                    && bounded("p", MAX_ARGON2_LANES))
                {
                    return Err(format!(
                        "argon2id has m up to {MAX_ARGON2_KIB}, t up to {MAX_ARGON2_PASSES} and p up \
                         to {MAX_ARGON2_LANES}"
                    ));
                }
                Ok(Self::Argon2(hash.to_owned()))
            }
            _ => Err("the hash is neither bcrypt nor argon2id; `ringway hash-password` makes one"
                .to_owned()),
        }
    }
}

impl AuthOptions {
    /// The realm in force.
    pub(crate) fn realm(&self) -> &str {
        if self.realm.is_empty() { "restricted" } else { &self.realm }
    }

    /// Checks the values and reads the users.
    ///
    /// # Errors
    /// The first thing that is wrong, with the number of the line but never the line itself.
    pub(crate) fn load(&self) -> Result<Vec<AuthUser>, ConfigError> {
        let realm = self.realm();
        if realm.len() > 64
            || !realm.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\')
        {
            return Err(ConfigError::new(
                "realm",
                format_args!("{realm:?} cannot be sent"),
                "give at most 64 printable characters of ASCII, neither \" nor \\",
            ));
        }
        let mut users = Vec::new();
        for (number, line) in self.users.iter().enumerate() {
            let user = AuthUser::parse(line);
            users.push(user.map_err(|advice| {
                ConfigError::new(
                    "users",
                    format_args!("user {} cannot be used", number + 1),
                    advice,
                )
            })?);
        }
        if let Some(path) = &self.file {
            let refused = |problem: fmt::Arguments<'_>, advice: &str| {
                ConfigError::new("file", format_args!("{}: {problem}", path.display()), advice)
            };
            let mut text = String::new();
            let read =
                File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
            read.map_err(|error| refused(format_args!("{error}"), "name a file that can be read"))?;
            if text.len() as u64 > MAX_FILE {
                return Err(refused(format_args!("it is too long"), "keep it within 1 MiB"));
            }
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let user = AuthUser::parse(line);
                users.push(user.map_err(|advice| {
                    refused(format_args!("line {} cannot be used", number + 1), &advice)
                })?);
            }
        }
        within("users", users.len(), 1, MAX_USERS)?;
        let mut names: Vec<_> = users.iter().map(|user| &*user.name).collect();
        names.sort_unstable();
        let same = |pair: &[&str]| matches!(pair, [one, other] if one == other);
        if let Some([name, _]) = names.windows(2).find(|pair| same(pair)) {
            let problem = format_args!("{name:?} stands there twice");
            return Err(ConfigError::new("users", problem, "give each name once"));
        }
        Ok(users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

    fn load(users: &[&str]) -> Result<usize, String> {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        let options = AuthOptions { users, ..AuthOptions::default() };
        options.load().map(|users| users.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn hashes_of_known_forms_and_bounded_costs_are_taken() {
        let bcrypt = format!("alice:{}", &BCRYPT[..60]);
        assert_eq!(
            load(&[&bcrypt, "bob:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA"]),
            Ok(2)
        );
        for (user, what) in [
            ("alice", "write name:hash"),
            (":x", "a name has"),
            ("alice:secret", "neither bcrypt nor argon2id"),
            ("alice:$apr1$x$y", "neither bcrypt nor argon2id"),
            (
                "alice:$2y$31$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
                "a cost of 4 to 14",
            ),
            ("a:$argon2id$v=19$m=999999999,t=2,p=1$c2FsdHNhbHQ$aGFzaA", "m up to"),
            ("a:$argon2id$v=19$m=19456,t=0,p=1$c2FsdHNhbHQ$aGFzaA", "t up to"),
        ] {
            let user = if user.contains("$2y$") {
                user[..user.len().min(66)].to_owned()
            } else {
                user.to_owned()
            };
            let error = load(&[&user]).unwrap_err();
            assert!(error.contains(what), "{user}: {error}");
            assert!(!error.contains("secret"), "the message has no hash: {error}");
        }
        assert!(load(&[]).unwrap_err().contains("users"));
        assert!(load(&[&bcrypt, &bcrypt]).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_file_has_a_user_on_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let options = AuthOptions { file: Some(path.clone()), ..AuthOptions::default() };
        assert!(options.load().unwrap_err().to_string().contains("can be read"));
        std::fs::write(&path, format!("# who\n\nalice:{}\n", &BCRYPT[..60])).unwrap();
        assert_eq!(options.load().unwrap().len(), 1);
        std::fs::write(&path, "alice:x\n").unwrap();
        assert!(options.load().unwrap_err().to_string().contains("line 1"));
    }
}
