//! Strings in lines of JSON (RFC 8259): those of the log and of the access log, which are written
//! without a value in between. The invariant: whatever text goes in, one string literal comes out that
//! holds nothing that some reader takes for the end of a line. serde_json leaves DEL, NEL and U+2028 as
//! they are, and a client could end a line by them.

use std::fmt::Write;

/// Appends `text` to `into` as a JSON string with its quotes.
pub(crate) fn push_string(into: &mut String, text: &str) {
    into.push('"');
    for character in text.chars() {
        match character {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            // Besides what must be escaped, what some reader takes for a line's end.
            '\0'..='\u{1f}' | '\u{7f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(into, "\\u{:04x}", u32::from(character));
            }
            _ => into.push(character),
        }
    }
    into.push('"');
}

#[cfg(test)]
mod tests {
    use super::push_string;
    use proptest::prelude::*;

    fn string(text: &str) -> String {
        let mut into = String::new();
        push_string(&mut into, text);
        into
    }

    #[test]
    fn what_must_be_escaped_is() {
        assert_eq!(string("a\"b\\c\n\r\t"), r#""a\"b\\c\n\r\t""#);
        assert_eq!(string("\0\u{1b}[31m\u{2028}"), r#""\u0000\u001b[31m\u2028""#);
        assert_eq!(string("gr\u{fc}n \u{1f600}"), "\"gr\u{fc}n \u{1f600}\"");
    }

    proptest! {
        #[test]
        fn a_string_stays_one_string_on_one_line(text in "\\PC*|[\\x00-\\x7f]*") {
            let literal = string(&text);
            let inside = &literal[1..literal.len() - 1];
            prop_assert!(!inside.chars().any(char::is_control));
            let mut escaped = false;
            for character in inside.chars() {
                prop_assert!(escaped || character != '"');
                escaped = !escaped && character == '\\';
            }
            prop_assert!(!escaped);
        }
    }
}
