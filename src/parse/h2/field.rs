//! The text of one field (RFC 9113 section 8.2.1).

use crate::{
    hpack::{Field, FieldName},
    parse::token::is_token_byte,
};

/// What is wrong with the text of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldCheck {
    /// Nothing.
    Valid,
    /// The name is empty, or not in lower case, or no token.
    Name,
    /// The value holds a control character, or begins or ends with a blank.
    Value,
}

/// Checks a field that was not checked before (RFC 9113 section 8.2.1).
pub(crate) fn field_check(field: &Field<'_>) -> FieldCheck {
    let lower = |byte: &u8| is_token_byte(*byte) && !byte.is_ascii_uppercase();
    // A name that is known is one that is valid.
    if field.token == FieldName::Other && (field.name.is_empty() || !field.name.iter().all(lower)) {
        return FieldCheck::Name;
    }
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let forbidden = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    let value = field.value;
    // Without an early exit, so that the compiler takes many bytes at once.
    if value.iter().fold(0, |found, &byte| found | u8::from(forbidden(byte))) != 0
        || blank(value.first())
        || blank(value.last())
    {
        return FieldCheck::Value;
    }
    FieldCheck::Valid
}
