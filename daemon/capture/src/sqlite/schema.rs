//! Which tables and indexes there are, and the names of their columns.

use super::pages::Pages;
use super::{Place, Result, Table, tree};

/// An entry of the schema.
pub(super) struct Entry {
    pub(super) root: u32,
    pub(super) sql: String,
}

/// The table of all tables and indexes.
fn schema() -> Table {
    Table {
        name: "sqlite_schema".into(),
        root: 1,
        // type, name, rootpage, sql
        wanted: [0, 1, 3, 4].map(Place::Field).to_vec(),
    }
}

/// Whether there is nothing in it, not one table.
pub(super) fn is_empty(pages: &mut Pages) -> Result<bool> {
    let mut empty = true;
    tree::walk(pages, &schema(), i64::MIN, &mut |_| {
        empty = false;
        Ok(false)
    })?;
    Ok(empty)
}

/// Finds an entry. Names of tables do not know case.
pub(super) fn find(pages: &mut Pages, kind: &str, name: &str) -> Result<Option<Entry>> {
    let mut found = None;
    tree::walk(pages, &schema(), i64::MIN, &mut |row| {
        let named = row
            .value(1)?
            .text()
            .is_some_and(|text| text.eq_ignore_ascii_case(name));
        if named && row.value(0)?.text() == Some(kind) {
            found = Some(Entry {
                root: row
                    .value(2)?
                    .integer()
                    .and_then(|root| u32::try_from(root).ok())
                    .unwrap_or(0),
                sql: row.value(3)?.text().unwrap_or_default().to_owned(),
            });
        }
        Ok(found.is_none())
    })?;
    Ok(found)
}

/// The columns of a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    names: Vec<String>,
    /// Those that are declared as INTEGER, and nothing more.
    integers: Vec<usize>,
    /// The one that is the row id.
    row_id: Option<usize>,
    /// The table is kept by its key and has no row ids.
    pub(super) without_rowid: bool,
}

/// Words that begin a constraint of the table instead of a column.
const CONSTRAINTS: [&str; 5] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];

impl Columns {
    /// Reads the statement that made the table.
    pub(super) fn parse(sql: &str) -> Columns {
        let words = words(sql);
        let mut columns = Columns::default();
        let Some(open) = words.iter().position(|word| word.is("(")) else {
            return columns;
        };
        let mut depth = 0usize;
        let mut part: Vec<&Word<'_>> = Vec::new();
        let mut close = words.len();
        for (at, word) in words.iter().enumerate().skip(open) {
            if word.is("(") {
                depth += 1;
            } else if word.is(")") {
                depth -= 1;
            }
            if depth == 0 || depth == 1 && word.is(",") {
                columns.part(&part);
                part.clear();
            } else if at > open {
                part.push(word);
            }
            if depth == 0 {
                close = at;
                break;
            }
        }
        let after = words.get(close..).unwrap_or_default();
        let pairs = after.windows(2);
        columns.without_rowid = pairs
            .into_iter()
            .any(|pair| pair[0].is("WITHOUT") && pair[1].is("ROWID"));
        columns
    }

    /// One part between commas.
    fn part(&mut self, part: &[&Word<'_>]) {
        let Some(first) = part.first() else { return };
        if CONSTRAINTS.iter().any(|word| first.is(word)) {
            // A key of its own line may be the row id too.
            if let [primary, key, open, column, close, ..] = part
                && primary.is("PRIMARY")
                && key.is("KEY")
                && open.is("(")
                && close.is(")")
                && let Some(at) = self.find(&column.text)
                && self.integers.contains(&at)
            {
                self.row_id = Some(at);
            }
            return;
        }
        let at = self.names.len();
        self.names.push(first.text.clone());
        let integer = part.get(1).is_some_and(|word| word.is("INTEGER"))
            && !part.get(2).is_some_and(|word| word.is("("));
        if integer {
            self.integers.push(at);
        }
        let key = part
            .windows(2)
            .any(|pair| pair[0].is("PRIMARY") && pair[1].is("KEY"));
        if integer && key {
            self.row_id = Some(at);
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.names
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
    }

    /// Where a column is found.
    pub(super) fn place(&self, name: &str) -> Place {
        match self.find(name) {
            Some(at) if self.row_id == Some(at) => Place::RowId,
            Some(at) => Place::Field(at),
            None => Place::Absent,
        }
    }
}

/// A word of a statement, a quoted name, or one sign.
struct Word<'a> {
    text: String,
    raw: &'a str,
}

impl Word<'_> {
    /// Whether it is this word or sign, and not a quoted name that looks like it.
    fn is(&self, word: &str) -> bool {
        self.raw.eq_ignore_ascii_case(word)
    }
}

fn words(sql: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if first.is_whitespace() => {
                rest = &rest[first.len_utf8()..];
                continue;
            }
            '-' if rest.starts_with("--") => {
                rest = rest.find('\n').map_or("", |end| &rest[end + 1..]);
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
                continue;
            }
            '"' | '`' | '\'' => quoted(rest, first),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            _ if first.is_alphanumeric() || first == '_' => rest
                .find(|char: char| !(char.is_alphanumeric() || char == '_' || char == '$'))
                .unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (raw, after) = rest.split_at(length);
        let text = match first {
            '"' | '`' | '\'' if length >= 2 => {
                let twice: String = [first, first].iter().collect();
                raw[1..length - 1].replace(&twice, &first.to_string())
            }
            '[' if length >= 2 => raw[1..length - 1].to_owned(),
            _ => raw.to_owned(),
        };
        words.push(Word { text, raw });
        rest = after;
    }
    words
}

/// The length of a quoted text; a doubled quote is part of it.
fn quoted(text: &str, quote: char) -> usize {
    let mut from = 1;
    loop {
        match text.get(from..).and_then(|rest| rest.find(quote)) {
            None => return text.len(),
            Some(at) if text[from + at + 1..].starts_with(quote) => from += at + 2,
            Some(at) => return from + at + 1,
        }
    }
}
