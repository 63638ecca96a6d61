//! `ringway hash-password`: a line for `[auth.NAME]`.

use std::io::{self, BufRead, Write};

use argon2::{
    Argon2, PasswordHasher,
    password_hash::{SaltString, rand_core::OsRng},
};
use zeroize::Zeroizing;

use super::{Exit, complain, print};

/// The longest password, in bytes.
const LONGEST: usize = 512;

/// Reads a password from standard input and prints `name:hash`.
pub(super) fn run(name: &str) -> Exit {
    if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
        return complain(
            Exit::Usage,
            "a name has no colon, no control character, and is not empty",
        );
    }
    let mut password = Zeroizing::new(String::new());
    let stdin = io::stdin();
    if rustix::termios::isatty(&stdin) {
        let _ = write!(io::stderr(), "password (it is shown): ");
    }
    if let Err(error) = stdin.lock().read_line(&mut password) {
        return complain(Exit::Failed, format_args!("standard input: {error}"));
    }
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > LONGEST {
        return complain(Exit::Usage, format_args!("a password has 1 to {LONGEST} bytes"));
    }
    // 19 MiB, two passes, one lane: what OWASP recommends at least.
    let salt = SaltString::generate(&mut OsRng);
    match Argon2::default().hash_password(password.as_bytes(), &salt) {
        Ok(hash) => print(format!("{name}:{hash}\n").as_bytes()),
        Err(error) => complain(Exit::Failed, error),
    }
}
