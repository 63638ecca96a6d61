//! The declaration of a setting.

use super::{reader::Reader, tree::Item};

/// One setting: what it is called, what it takes, what it means, and where it goes.
pub(crate) struct Key<T: 'static> {
    /// What documentation needs.
    pub(crate) row: Row,
    pub(super) take: Take<T>,
}

/// A setting without the way in which it is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// In the file.
    pub(crate) key: &'static str,
    /// Of `ringway serve`, without its dashes; None where only the file has it.
    pub(crate) option: Option<&'static str>,
    /// What it takes.
    pub(crate) kind: Kind,
    /// What holds without it, as it would be written; empty if nothing does.
    pub(crate) default: &'static str,
    /// What it means: one sentence or two, without a full stop at the end.
    pub(crate) doc: &'static str,
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text; the word stands for it in the help.
    Text(&'static str),
    /// A path, in the file relative to the file's folder.
    Path,
    /// Bytes, as in `64KiB`.
    Size,
    /// A time, as in `10s`.
    Time,
    /// A whole number.
    Number,
    /// A list of whole numbers; a single one may stand by itself.
    Numbers,
    /// True or false. The option takes no value and means true.
    Flag,
    /// True or false. The option takes no value, means false, and has this help.
    NoFlag(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts; a single one may stand by itself.
    Texts(&'static str),
    /// A list of paths; a single one may stand by itself.
    Paths,
    /// Names with texts, or with lists of texts.
    Lines,
    /// A table with the keys of this section.
    Table(&'static str),
    /// A list of such tables.
    Tables(&'static str),
    /// Tables by name.
    Named(&'static str),
    /// A name or several of `[headers.NAME]`, or such a table in place.
    Headers,
    /// Contents by status.
    Errors,
    /// A text, or texts by pattern.
    Caching,
    /// Content codings: true for all, false for none, or a list. The option takes no value and means true.
    Codings,
    /// Pairs of certificate and key: a table with both, or a list of them.
    Pairs,
}

/// How a setting is set. Texts are set one by one.
pub(super) enum Take<T> {
    Text(Box<SetText<T>>),
    /// By the caller, which knows the shape. The last is the place of the item, for messages about it.
    Item(fn(&mut T, &Item, &mut Reader, &str)),
}

/// Sets a value by a text, or says what is wrong with the text.
pub(super) type SetText<T> = dyn Fn(&mut T, &str) -> Result<(), String> + Send + Sync;

impl<T: 'static> Key<T> {
    /// A setting that takes texts.
    pub(super) fn text(
        key: &'static str,
        option: Option<&'static str>,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
        set: fn(&mut T, &str) -> Result<(), String>,
    ) -> Self {
        Self { row: Row { key, option, kind, default, doc }, take: Take::Text(Box::new(set)) }
    }

    /// A setting of a shape of its own.
    pub(super) fn item(
        key: &'static str,
        kind: Kind,
        doc: &'static str,
        set: fn(&mut T, &Item, &mut Reader, &str),
    ) -> Self {
        Self { row: Row { key, option: None, kind, default: "", doc }, take: Take::Item(set) }
    }

    /// Sets it by a text, as an option does.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn set(&self, target: &mut T, text: &str) -> Result<(), String> {
        match &self.take {
            Take::Text(set) => set(target, text),
            Take::Item(_) => Err("only the file has it".to_owned()),
        }
    }
}

/// The same settings of something that contains what they are for. They take texts.
pub(super) fn within<T: 'static, U: 'static>(
    keys: Vec<Key<T>>,
    at: fn(&mut U) -> &mut T,
) -> Vec<Key<U>> {
    let outer = keys.into_iter().map(|key| {
        let row = key.row;
        Key { row, take: Take::Text(Box::new(move |target, text| key.set(at(target), text))) }
    });
    outer.collect()
}

/// The settings without the ways in which they are set.
pub(super) fn rows<T>(keys: &[Key<T>]) -> Vec<Row> {
    keys.iter().map(|key| key.row).collect()
}
