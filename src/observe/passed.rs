//! What the access log says of a request that was passed on to a server of a pool.

use std::{
    fmt::Write,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{FromServer, json};

/// Servers that are distinguished by name, at most, over all configurations of the process; further ones
/// are all `other`.
const MOST: usize = 4096;

static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn names() -> MutexGuard<'static, Vec<String>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of a server: pool and address. Given out when a configuration comes into force, never by
/// what clients send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassedTo(u16);

impl PassedTo {
    /// The number of a server.
    pub(crate) fn named(pool: &str, address: &str) -> Self {
        let name = format!("{pool} {address}");
        let mut names = names();
        let known = names.iter().position(|known| *known == name);
        let at = known.or_else(|| {
            (names.len() < MOST).then(|| {
                names.push(name);
                names.len() - 1
            })
        });
        // 0 is no server; at most MOST + 1, which fits.
        Self(at.unwrap_or(MOST) as u16 + 1)
    }

    /// Pool and address, with a space between; None if there is no server.
    pub fn name(self) -> Option<String> {
        let at = usize::from(self.0).checked_sub(1)?;
        Some(names().get(at).cloned().unwrap_or_else(|| "other".to_owned()))
    }
}

/// How a request was passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// It was for a pool.
    pub proxied: bool,
    /// The server that was tried last.
    pub server: PassedTo,
    /// Servers that it was sent to, or was about to be.
    pub tries: u8,
    /// Its connection had served a request before.
    pub reused: bool,
    /// The server answered it; else the answer is ours.
    pub answered: bool,
    /// Why the server did not, or not wholly, in a word of RFC 9209 section 2.3; empty: it did.
    pub reason: &'static str,
    /// What was done with the server's content before it was sent.
    pub content: FromServer,
}

impl Passed {
    /// A request that is not for a pool.
    pub(crate) const NOWHERE: Self = Self {
        proxied: false,
        server: PassedTo(0),
        tries: 0,
        reused: false,
        answered: false,
        reason: "",
        content: FromServer { held: 0, opened: 0, encoded: 0, coded: 0 },
    };

    /// A request for a pool, which has got to no server.
    pub(crate) fn proxied() -> Self {
        Self { proxied: true, ..Self::default() }
    }

    /// One more server is tried.
    pub(crate) fn tried(&mut self, server: PassedTo, reused: bool) {
        (self.server, self.reused) = (server, reused);
        self.tries = self.tries.saturating_add(1);
    }

    fn by(self) -> &'static str {
        if self.answered { "upstream" } else { "ringway" }
    }

    /// Appends it to a line of text.
    pub(super) fn push_text(self, text: &mut String) {
        if !self.proxied {
            return;
        }
        if let Some(name) = self.server.name() {
            // Names of pools and addresses hold neither quotes nor control characters.
            let _ = write!(text, " upstream=\"{}\"", name.escape_default());
        }
        let (tries, reused) = (self.tries, u8::from(self.reused));
        let _ = write!(text, " tries={tries} reused={reused} by={}", self.by());
        if !self.reason.is_empty() {
            let _ = write!(text, " reason={}", self.reason);
        }
    }

    /// Appends it to an object of JSON, as its member `upstream`.
    pub(super) fn push_json(self, text: &mut String) {
        if !self.proxied {
            text.push_str(",\"upstream\":null");
            return;
        }
        text.push_str(",\"upstream\":{\"server\":");
        match self.server.name() {
            Some(name) => json::push_string(text, &name),
            // It waited in line, and got no further.
            None => text.push_str("null"),
        }
        let Self { tries, reused, reason, .. } = self;
        let _ = write!(
            text,
            ",\"tries\":{tries},\"reused\":{reused},\"by\":\"{}\",\"reason\":\"{reason}\"}}",
            self.by()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_numbered_once() {
        let one = PassedTo::named("app", "127.0.0.1:3000");
        assert_eq!(PassedTo::named("app", "127.0.0.1:3000"), one);
        assert_ne!(PassedTo::named("app", "127.0.0.1:3001"), one);
        assert_eq!(one.name().as_deref(), Some("app 127.0.0.1:3000"));
        assert_eq!(PassedTo::default().name(), None);
    }

    #[test]
    fn both_forms_say_the_same() {
        let passed = Passed {
            proxied: true,
            server: PassedTo::named("app", "unix:/run/a"),
            tries: 2,
            reason: "connection_refused",
            ..Passed::default()
        };
        let (mut text, mut json) = (String::new(), String::new());
        passed.push_text(&mut text);
        passed.push_json(&mut json);
        assert_eq!(
            text,
            " upstream=\"app unix:/run/a\" tries=2 reused=0 by=ringway reason=connection_refused"
        );
        assert_eq!(
            json,
            ",\"upstream\":{\"server\":\"app unix:/run/a\",\"tries\":2,\"reused\":false,\
             \"by\":\"ringway\",\"reason\":\"connection_refused\"}"
        );
        let (mut text, mut json) = (String::new(), String::new());
        Passed::default().push_text(&mut text);
        Passed::default().push_json(&mut json);
        assert_eq!((&*text, &*json), ("", ",\"upstream\":null"));
    }
}
