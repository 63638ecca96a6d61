//! Writing JSON (RFC 8259). The invariant: whatever text goes in, one string literal without line
//! ends comes out; and what a closure writes is one value, with its commas in their places.

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

/// An object that is being written.
pub(crate) struct Object<'t> {
    text: &'t mut String,
    empty: bool,
}

/// An array that is being written.
pub(crate) struct Array<'t> {
    text: &'t mut String,
    empty: bool,
}

/// Appends an object.
pub(crate) fn push_object(text: &mut String, write: impl FnOnce(&mut Object<'_>)) {
    text.push('{');
    write(&mut Object { text, empty: true });
    text.push('}');
}

fn push_array(text: &mut String, write: impl FnOnce(&mut Array<'_>)) {
    text.push('[');
    write(&mut Array { text, empty: true });
    text.push(']');
}

fn push_float(text: &mut String, number: f64) {
    // JSON knows neither infinities nor what is not a number.
    if number.is_finite() {
        let _ = write!(text, "{number}");
    } else {
        text.push_str("null");
    }
}

impl Object<'_> {
    fn name(&mut self, name: &str) -> &mut String {
        if !std::mem::take(&mut self.empty) {
            self.text.push(',');
        }
        push_string(self.text, name);
        self.text.push(':');
        self.text
    }

    pub(crate) fn number(&mut self, name: &str, number: u64) {
        let _ = write!(self.name(name), "{number}");
    }

    pub(crate) fn number_or_null(&mut self, name: &str, number: Option<u64>) {
        match number {
            Some(number) => self.number(name, number),
            None => self.null(name),
        }
    }

    pub(crate) fn float(&mut self, name: &str, number: f64) {
        push_float(self.name(name), number);
    }

    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        let _ = write!(self.name(name), "{value}");
    }

    pub(crate) fn string(&mut self, name: &str, value: &str) {
        push_string(self.name(name), value);
    }

    pub(crate) fn null(&mut self, name: &str) {
        self.name(name).push_str("null");
    }

    pub(crate) fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        push_object(self.name(name), write);
    }

    pub(crate) fn array(&mut self, name: &str, write: impl FnOnce(&mut Array<'_>)) {
        push_array(self.name(name), write);
    }
}

impl Array<'_> {
    fn item(&mut self) -> &mut String {
        if !std::mem::take(&mut self.empty) {
            self.text.push(',');
        }
        self.text
    }

    pub(crate) fn number(&mut self, number: u64) {
        let _ = write!(self.item(), "{number}");
    }

    pub(crate) fn string(&mut self, value: &str) {
        push_string(self.item(), value);
    }

    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        push_object(self.item(), write);
    }

    pub(crate) fn array(&mut self, write: impl FnOnce(&mut Array<'_>)) {
        push_array(self.item(), write);
    }
}

#[cfg(test)]
mod tests {
    use super::{push_object, push_string};
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

    #[test]
    fn members_and_items_are_parted_by_commas() {
        let mut text = String::new();
        push_object(&mut text, |object| {
            object.number("a", 1);
            object.array("b", |array| {
                array.string("x");
                array.number(2);
                array.object(|_| {});
                array.array(|_| {});
            });
            object.object("c", |object| object.null("d"));
            object.number_or_null("e", None);
            object.boolean("f", true);
            object.float("g", 0.5);
            object.float("h", f64::NAN);
        });
        assert_eq!(
            text,
            r#"{"a":1,"b":["x",2,{},[]],"c":{"d":null},"e":null,"f":true,"g":0.5,"h":null}"#
        );
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
