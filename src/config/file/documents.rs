//! What is made of the declarations: the schema, the reference, an example.

use std::fmt::Write;

use super::{
    fault::quoted,
    keys::{Kind, Row, rows},
    peers, pools, settings, sites,
};

/// A file that shows the usual settings.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// A table of the file.
struct Part {
    /// As it is written.
    title: &'static str,
    /// In the schema.
    name: &'static str,
    rows: Vec<Row>,
}

/// All tables of the file, the top level first.
fn parts() -> Vec<Part> {
    let top: Vec<Row> = rows(&settings::top());
    let mut parts = vec![Part { title: "Before any table", name: "", rows: top }];
    let titles = [
        ("tls", "`[tls]`"),
        ("log", "`[log]`"),
        ("observe", "`[observe]`"),
        ("process", "`[process]`"),
        ("limits", "`[limits]`"),
        ("timeouts", "`[timeouts]`"),
    ];
    for section in settings::sections() {
        if let Some((name, title)) = titles.iter().find(|(name, _)| *name == section.table) {
            parts.push(Part { title, name, rows: rows(&section.keys) });
        }
    }
    let proxy_protocol = rows(&peers::proxy_protocol());
    parts.push(Part {
        title: "`[[proxy_protocol]]`",
        name: "proxy_protocol",
        rows: proxy_protocol,
    });
    parts.push(Part { title: "`[forwarded]`", name: "forwarded", rows: rows(&peers::forwarded()) });
    parts.push(Part { title: "`[[site]]`", name: "site", rows: sites::site_rows() });
    parts.push(Part { title: "`[[site.route]]`", name: "site.route", rows: sites::route_rows() });
    parts.push(Part { title: "`[headers.NAME]`", name: "headers", rows: sites::rules_rows() });
    parts.push(Part { title: "`[auth.NAME]`", name: "auth", rows: rows(&peers::auth()) });
    parts.push(Part { title: "`[rate.NAME]`", name: "rate", rows: rows(&peers::rate()) });
    parts.push(Part { title: "`[pool.NAME]`", name: "pool", rows: rows(&pools::pool()) });
    parts
}

/// All keys with their tables, as the schema has them.
#[cfg(test)]
pub(super) fn keys() -> Vec<(&'static str, &'static str)> {
    let each = parts().into_iter();
    each.flat_map(|part| part.rows.into_iter().map(move |row| (part.name, row.key))).collect()
}

/// The reference of all settings, in Markdown.
pub(crate) fn reference() -> String {
    let mut text = String::new();
    for part in parts() {
        let _ =
            write!(text, "### {}\n\n| key | takes | default | |\n|---|---|---|---|\n", part.title);
        for row in part.rows {
            let Row { key, option, kind, default, doc } = row;
            let doc = doc.split(" [default: ").next().unwrap_or(doc);
            let doc = doc.strip_suffix("; may be repeated").unwrap_or(doc).replace('|', "\\|");
            let option = option.map_or_else(String::new, |option| format!(" (`--{option}`)"));
            let default =
                if default.is_empty() { String::new() } else { shown_default(kind, default) };
            let _ = writeln!(text, "| `{key}` | {} | {default} | {doc}{option} |", takes(kind));
        }
        text.push('\n');
    }
    text.pop();
    text
}

fn shown_default(kind: Kind, default: &str) -> String {
    match kind {
        Kind::Number | Kind::Flag | Kind::NoFlag(_) | Kind::Codings if !default.contains(' ') => {
            format!("`{default}`")
        }
        _ if default.contains(' ') => default.to_owned(),
        _ => format!("`\"{default}\"`"),
    }
}

/// What a kind takes, for the reference.
fn takes(kind: Kind) -> String {
    match kind {
        Kind::Text(_) => "a text".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Size => "bytes, or `\"64KiB\"`".to_owned(),
        Kind::Time => "a time, `\"10s\"`".to_owned(),
        Kind::Number => "a number".to_owned(),
        Kind::Numbers => "a number or a list".to_owned(),
        Kind::Flag | Kind::NoFlag(_) => "`true` or `false`".to_owned(),
        Kind::OneOf(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            words.join(", ")
        }
        Kind::Texts(_) => "a text or a list".to_owned(),
        Kind::Paths => "a path or a list".to_owned(),
        Kind::Lines => "`{ NAME = \"value\" }`".to_owned(),
        Kind::Table(name) => format!("`[{name}]`"),
        Kind::Tables(name) => format!("`[[{name}]]`"),
        Kind::Named(name) => format!("`[{name}.NAME]`"),
        Kind::Headers => "a name, a list, or a table".to_owned(),
        Kind::Codings => {
            "`true`, `false`, or a list of `\"zstd\"`, `\"br\"`, `\"gzip\"`".to_owned()
        }
        Kind::Errors => "`{ 404 = \"404.html\", 503 = { text = \"…\" } }`".to_owned(),
        Kind::Caching => "a text, or `{ \"/assets/*\" = \"…\", \"text/html\" = \"…\" }`".to_owned(),
        Kind::Pairs => "`{ cert = \"…\", key = \"…\" }`, or a list".to_owned(),
    }
}

/// The JSON Schema (draft 2020-12) of the file.
pub(crate) fn schema() -> String {
    let parts = parts();
    let mut definitions = String::new();
    let mut top = String::new();
    for part in &parts {
        if part.name.is_empty() {
            top = properties(&part.rows);
            continue;
        }
        let comma = if definitions.is_empty() { "" } else { "," };
        let _ = write!(
            definitions,
            "{comma}\n    {}: {{\"type\": \"object\", \"additionalProperties\": false, \
             \"properties\": {{{}}}}}",
            quoted(part.name),
            properties(&part.rows)
        );
    }
    format!(
        "{{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \
         \"title\": \"Ringway\",\n  \"type\": \"object\",\n  \"additionalProperties\": false,\n  \
         \"properties\": {{{top}}},\n  \"$defs\": {{{definitions}\n  }}\n}}\n"
    )
}

fn properties(rows: &[Row]) -> String {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}\n      {}: {{{}, \"description\": {}}}",
            quoted(row.key),
            shape(row.kind),
            quoted(row.doc)
        );
    }
    text
}

/// What a kind takes, for the schema.
fn shape(kind: Kind) -> String {
    const TEXT: &str = "{\"type\": \"string\"}";
    let refers = |name: &str| format!("{{\"$ref\": \"#/$defs/{name}\"}}");
    match kind {
        Kind::Text(_) | Kind::Path => "\"type\": \"string\"".to_owned(),
        Kind::Size => "\"type\": [\"integer\", \"string\"], \"minimum\": 0, \
                       \"pattern\": \"^[0-9]+ ?([KkMmGgTt]([Ii]?[Bb])?|[Bb])?$\""
            .to_owned(),
        Kind::Time => "\"type\": [\"integer\", \"string\"], \
                       \"pattern\": \"^[0-9]+ ?(ms|s|m|min|h)?$\""
            .to_owned(),
        Kind::Number => "\"type\": \"integer\", \"minimum\": 0".to_owned(),
        Kind::Numbers => {
            const NUMBER: &str = "{\"type\": \"integer\", \"minimum\": 0}";
            format!("\"anyOf\": [{NUMBER}, {{\"type\": \"array\", \"items\": {NUMBER}}}]")
        }
        Kind::Flag | Kind::NoFlag(_) => "\"type\": \"boolean\"".to_owned(),
        Kind::OneOf(words) => {
            let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            format!("\"enum\": [{}]", words.join(", "))
        }
        Kind::Texts(_) | Kind::Paths => {
            format!("\"anyOf\": [{TEXT}, {{\"type\": \"array\", \"items\": {TEXT}}}]")
        }
        Kind::Lines => format!(
            "\"type\": \"object\", \"additionalProperties\": {{\"anyOf\": [{TEXT}, \
             {{\"type\": \"array\", \"items\": {TEXT}}}]}}"
        ),
        Kind::Table(name) => format!("\"$ref\": \"#/$defs/{name}\""),
        Kind::Tables(name) => format!("\"type\": \"array\", \"items\": {}", refers(name)),
        Kind::Named(name) => {
            format!("\"type\": \"object\", \"additionalProperties\": {}", refers(name))
        }
        Kind::Headers => format!(
            "\"anyOf\": [{TEXT}, {{\"type\": \"array\", \"items\": {TEXT}}}, {}]",
            refers("headers")
        ),
        Kind::Codings => {
            const WORDS: &str = "{\"enum\": [\"zstd\", \"br\", \"gzip\"]}";
            format!(
                "\"anyOf\": [{{\"type\": \"boolean\"}}, {WORDS}, {{\"type\": \"array\", \
                 \"items\": {WORDS}}}]"
            )
        }
        Kind::Errors => format!(
            "\"type\": \"object\", \"additionalProperties\": false, \"patternProperties\": \
             {{\"^[45][0-9][0-9]$\": {{\"anyOf\": [{TEXT}, {{\"type\": \"object\", \
             \"additionalProperties\": false, \"minProperties\": 1, \"maxProperties\": 1, \"properties\": \
             {{\"text\": {TEXT}, \"html\": {TEXT}}}}}]}}}}"
        ),
        Kind::Caching => format!(
            "\"anyOf\": [{TEXT}, {{\"type\": \"object\", \"additionalProperties\": {TEXT}}}]"
        ),
        Kind::Pairs => {
            let pair = format!(
                "{{\"type\": \"object\", \"additionalProperties\": false, \"required\": \
                 [\"cert\", \"key\"], \"properties\": {{\"cert\": {TEXT}, \"key\": {TEXT}}}}}"
            );
            format!("\"anyOf\": [{pair}, {{\"type\": \"array\", \"items\": {pair}}}]")
        }
    }
}
