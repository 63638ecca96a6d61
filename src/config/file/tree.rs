//! A file as a tree of keys and values, each with its place in the text.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Fault;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) at: Range<usize>,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// As it is written.
    Number(String),
    Flag(bool),
    List(Vec<Item>),
    Table(Table),
    /// A date or a number with a fraction, of which no key takes one.
    Other(&'static str),
}

impl Value {
    /// What it is, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Keys with their values, in the order of the keys' places.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Range<usize>,
    pub(super) item: Item,
}

/// Parses a text as far as that goes; what is wrong with it comes beside.
pub(super) fn parse(text: &str) -> (Table, Vec<Fault>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let faults = errors.iter().map(|error| {
        let at = error.span().unwrap_or(0..0);
        Fault::new(at, error.message(), "this is not TOML, see https://toml.io")
    });
    let faults = faults.collect();
    (of_table(table.into_inner()), faults)
}

fn of_table(table: DeTable<'_>) -> Table {
    let entries = table.into_iter().map(|(key, value)| Entry {
        at: key.span(),
        key: key.into_inner().into_owned(),
        item: of_value(value),
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|entry| entry.at.start);
    Table { entries }
}

fn of_value(value: Spanned<DeValue<'_>>) -> Item {
    let at = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => {
            Value::Number(number.as_str().to_owned())
        }
        DeValue::Integer(_) => Value::Other("a number that is not decimal"),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(items.into_iter().map(of_value).collect()),
        DeValue::Table(table) => Value::Table(of_table(table)),
    };
    Item { at, value }
}
