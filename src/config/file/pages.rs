//! The keys of a site and a route whose values have shapes of their own: contents of errors, and what files
//! have in `Cache-Control`.

use std::collections::BTreeMap;

use super::{
    reader::Reader,
    tree::{Item, Table, Value},
};
use crate::config::{CacheRule, ErrorContent, FieldLine};

/// What `errors` means at a site and at a route.
pub(super) const ERRORS: &str = "The content of errors, by status: files, or { text = \"…\" } or { html = \"…\" }; a route's come before \
     its site's. Files are read at the start and by a reload, at most 64 KiB each";

/// What `cache_control` means at a route.
pub(super) const CACHE_CONTROL: &str = "Cache-Control of files, redirects and fixed answers, never of errors; or, for files, by path or media \
     type: the longest path that fits counts, else a type, else \"*\"";

/// Reads contents of errors by status.
pub(super) fn errors(errors: &mut BTreeMap<u16, ErrorContent>, item: &Item, reader: &mut Reader) {
    let Some(table) = reader.as_table(item) else { return };
    for entry in &table.entries {
        let Ok(status) = entry.key.parse() else {
            let problem = format!("{:?} is no status", entry.key);
            reader.fault(&entry.at, problem, "give a number, such as 404");
            continue;
        };
        let content = match &entry.item.value {
            Value::Table(table) => written(table, &entry.item, reader),
            _ => reader.text(&entry.item).map(|file| ErrorContent::File(reader.path(file))),
        };
        errors.extend(content.map(|content| (status, content)));
    }
}

/// Reads `{ text = "…" }` or `{ html = "…" }`.
fn written(table: &Table, item: &Item, reader: &mut Reader) -> Option<ErrorContent> {
    let [entry] = table.entries.as_slice() else {
        let advice = "write { text = \"…\" }, { html = \"…\" } or the name of a file";
        reader.fault(&item.at, "an error has one content", advice);
        return None;
    };
    let make = match entry.key.as_str() {
        "text" => ErrorContent::Text,
        "html" => ErrorContent::Html,
        _ => {
            let problem = format!("unknown key {:?} in the content of an error", entry.key);
            reader.fault(&entry.at, problem, "it has text or html");
            return None;
        }
    };
    reader.text(&entry.item).map(|text| make(text.to_owned()))
}

/// Reads `cache_control`: the value for all, or values by path and media type.
pub(super) fn cache_control(
    all: &mut Option<FieldLine>,
    rules: &mut Vec<CacheRule>,
    item: &Item,
    reader: &mut Reader,
) {
    let Value::Table(table) = &item.value else {
        *all = value(item, reader);
        return;
    };
    for entry in &table.entries {
        if entry.key == "*" {
            *all = value(&entry.item, reader);
            continue;
        }
        match entry.key.parse() {
            Ok(pattern) => {
                if let Some(line) = value(&entry.item, reader) {
                    rules.push(CacheRule { pattern, line });
                }
            }
            Err(error) => {
                let problem = format!("{:?} is neither a path nor a media type", entry.key);
                reader.fault(&entry.at, problem, error);
            }
        }
    }
}

fn value(item: &Item, reader: &mut Reader) -> Option<FieldLine> {
    let text = reader.text(item)?;
    match FieldLine::new("Cache-Control", text) {
        Ok(line) => Some(line),
        Err(error) => {
            reader.fault(&item.at, format_args!("{text:?} cannot be sent"), error);
            None
        }
    }
}
