//! From a tree to settings. What is wrong is noted, and reading goes on.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    Fault,
    keys::{Key, Kind, SetText, Take},
    settings,
    tree::{Item, Table, Value},
};
use crate::config::{ConfigError, FieldRules};

/// What reading a file has found so far.
pub(super) struct Reader {
    pub(super) faults: Vec<Fault>,
    /// Where each setting stands, by its place: `limits.max_head`, `site.3.route.0.files`.
    places: HashMap<String, Range<usize>>,
    /// The file's folder.
    base: PathBuf,
    /// Field rules by name.
    pub(super) rules: BTreeMap<String, FieldRules>,
}

impl Reader {
    pub(super) fn new(base: &Path) -> Self {
        Self {
            faults: Vec::new(),
            places: HashMap::new(),
            base: base.to_owned(),
            rules: BTreeMap::new(),
        }
    }

    pub(super) fn fault(
        &mut self,
        at: &Range<usize>,
        problem: impl std::fmt::Display,
        advice: impl std::fmt::Display,
    ) {
        self.faults.push(Fault::new(at.clone(), problem, advice));
    }

    /// Notes where something stands.
    pub(super) fn stands(&mut self, place: &str, at: &Range<usize>) {
        self.places.insert(place.to_owned(), at.clone());
    }

    /// Reads a table by its keys. `place` is the table's, `what` names it in messages.
    pub(super) fn table<T: 'static>(
        &mut self,
        table: &Table,
        keys: &[Key<T>],
        target: &mut T,
        place: &str,
        what: &str,
    ) {
        for entry in &table.entries {
            let Some(key) = keys.iter().find(|key| key.row.key == entry.key) else {
                let known: Vec<_> = keys.iter().map(|key| key.row.key).collect();
                let advice = unknown(&entry.key, &known, what);
                self.fault(
                    &entry.at,
                    format_args!("unknown key {:?} in {what}", entry.key),
                    advice,
                );
                continue;
            };
            let inner =
                if place.is_empty() { entry.key.clone() } else { format!("{place}.{}", entry.key) };
            self.stands(&inner, &entry.item.at);
            match &key.take {
                Take::Text(set) => self.texts(&entry.item, key.row.kind, target, set),
                Take::Item(set) => set(target, &entry.item, self, &inner),
            }
        }
    }

    /// Sets the text, or each of them.
    fn texts<T: 'static>(&mut self, item: &Item, kind: Kind, target: &mut T, set: &SetText<T>) {
        let listed = matches!(kind, Kind::Texts(_) | Kind::Paths | Kind::Numbers | Kind::Codings);
        match &item.value {
            // None of them, which is another thing than nothing said.
            Value::List(items) if kind == Kind::Codings && items.is_empty() => {
                if let Err(problem) = set(target, "false") {
                    self.fault(&item.at, "an empty list cannot be used", problem);
                }
            }
            Value::List(items) if listed => {
                for item in items {
                    self.single(item, kind, target, set);
                }
            }
            _ => self.single(item, kind, target, set),
        }
    }

    fn single<T: 'static>(&mut self, item: &Item, kind: Kind, target: &mut T, set: &SetText<T>) {
        let text = match (&item.value, kind) {
            (Value::Text(text), Kind::Path | Kind::Paths) => {
                self.path(text).to_string_lossy().into_owned()
            }
            (
                Value::Text(text),
                Kind::Text(_)
                | Kind::Size
                | Kind::Time
                | Kind::OneOf(_)
                | Kind::Texts(_)
                | Kind::Codings,
            ) => text.clone(),
            (Value::Number(number), Kind::Number | Kind::Numbers | Kind::Size | Kind::Time) => {
                number.clone()
            }
            (Value::Flag(flag), Kind::Flag | Kind::NoFlag(_) | Kind::Codings) => flag.to_string(),
            (value, kind) => {
                let problem = format!("{} stands here", value.kind());
                return self.fault(&item.at, problem, format_args!("write {}", wanted(kind)));
            }
        };
        if let Kind::OneOf(words) = kind
            && !words.contains(&text.as_str())
        {
            let advice = format!("write one of {}", words.join(", "));
            return self.fault(&item.at, format_args!("{text:?} is none of the words"), advice);
        }
        if let Err(problem) = set(target, &text) {
            self.fault(&item.at, format_args!("{text:?} cannot be used"), problem);
        }
    }

    /// A path, relative to the file's folder. `-` stands for a standard stream.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        if text == "-" { PathBuf::from(text) } else { self.base.join(text) }
    }

    /// The text of an item, if it is one.
    pub(super) fn text<'i>(&mut self, item: &'i Item) -> Option<&'i str> {
        if let Value::Text(text) = &item.value {
            return Some(text);
        }
        let problem = format!("{} stands here", item.value.kind());
        self.fault(&item.at, problem, "write a text in quotes");
        None
    }

    /// The table that an item is, if it is one.
    pub(super) fn as_table<'i>(&mut self, item: &'i Item) -> Option<&'i Table> {
        if let Value::Table(table) = &item.value {
            return Some(table);
        }
        let problem = format!("{} stands here", item.value.kind());
        self.fault(&item.at, problem, "write a table, as the reference shows it");
        None
    }

    /// The items of a list, or the only one.
    pub(super) fn each(item: &Item) -> &[Item] {
        match &item.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(item),
        }
    }

    /// Notes what a check found, where the setting stands.
    pub(super) fn of_check(&mut self, error: &ConfigError) {
        let key = settings::key_of(error.option());
        let place = error.place();
        let exact = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        if let Some(at) = self.places.get(&exact).cloned() {
            return self.fault(&at, error.problem(), error.advice());
        }
        // Where the setting itself is not written, what it belongs to is shown.
        let mut outer = &*exact;
        while let Some((parent, _)) = outer.rsplit_once('.') {
            outer = parent;
            if self.places.contains_key(outer) {
                break;
            }
        }
        let at = self.places.get(outer).cloned().unwrap_or(0..0);
        self.fault(&at, format_args!("{key}: {}", error.problem()), error.advice());
    }
}

/// What a kind of value looks like.
fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Text(_) | Kind::OneOf(_) => "a text in quotes",
        Kind::Path => "a path in quotes",
        Kind::Size => "a size, such as \"64KiB\"",
        Kind::Time => "a time, such as \"10s\"",
        Kind::Number => "a whole number",
        Kind::Numbers => "a whole number, or a list of them",
        Kind::Flag | Kind::NoFlag(_) => "true or false",
        Kind::Texts(_) | Kind::Paths => "a text in quotes, or a list of them",
        Kind::Lines => "a table of names and texts",
        Kind::Table(_) | Kind::Pairs => "a table",
        Kind::Tables(_) => "a list of tables",
        Kind::Errors => "a table of statuses with files or texts",
        Kind::Caching => "a text in quotes, or a table of patterns and texts",
        Kind::Named(_) => "tables by name",
        Kind::Headers => "a name, a list of names, or a table",
        Kind::Codings => "true, false, or a list of \"zstd\", \"br\" and \"gzip\"",
    }
}

/// What to say about a key that is not known.
fn unknown(key: &str, known: &[&str], what: &str) -> String {
    if let Some(near) = nearest(key, known) {
        return format!("{near:?} is meant?");
    }
    if let Some(section) = settings::section_of(key) {
        return format!("it belongs to {section}");
    }
    format!("{what} has {}", known.join(", "))
}

/// The known word that is nearest to a mistyped one.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let most = if word.len() < 4 { 1 } else { 2 };
    let near = known.iter().map(|known| (distance(word, known), *known));
    near.filter(|(distance, _)| *distance <= most).min().map(|(_, known)| known)
}

/// Letters to change, leave out or put in, to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.chars().take(64).enumerate() {
        let mut corner = number;
        let mut left = number + 1;
        for (above, own) in row.iter_mut().skip(1).zip(&other) {
            let replaced = corner + usize::from(letter != *own);
            corner = *above;
            *above = replaced.min(corner + 1).min(left + 1);
            left = *above;
        }
        if let Some(first) = row.first_mut() {
            *first = number + 1;
        }
    }
    row.last().copied().unwrap_or(one.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("lisen", "listen"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("lisen", &["listen", "plain"]), Some("listen"));
        assert_eq!(nearest("colour", &["listen", "plain"]), None);
    }
}
