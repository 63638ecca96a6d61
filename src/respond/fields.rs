//! Field lines that never change, rendered and checked once at start.

use super::HeadFault;
use super::head::value_is_safe;
use crate::parse::is_token;

/// Complete field lines, copied into each head as one piece.
///
/// The operator's own fields (`--header`) come from here: they are checked when the server
/// starts, not on every response. This is the only part of the module that allocates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldBlock {
    lines: Vec<u8>,
}

impl FieldBlock {
    /// Appends one field line.
    ///
    /// # Errors
    /// [`HeadFault::ForbiddenByte`] if the name is no token (RFC 9110 section 5.1) or the value
    /// holds a control character (section 5.5). The block is unchanged then.
    pub fn push(&mut self, name: &str, value: &[u8]) -> Result<(), HeadFault> {
        if !is_token(name.as_bytes()) || !value_is_safe(value) {
            return Err(HeadFault::ForbiddenByte);
        }
        for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.lines.extend_from_slice(piece);
        }
        Ok(())
    }

    /// The lines, each with its CRLF.
    pub fn as_bytes(&self) -> &[u8] {
        &self.lines
    }
}
