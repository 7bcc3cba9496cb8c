//! Entries in TOML files: members of tables. What stands around them stays as it is.

use serde_json::Value;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value as TomlValue};

use super::edit::{Edit, Entry};

/// The text with the entries in it, and the names of foreign entries that are in the way of ours.
///
/// Errors: one sentence that says what is wrong with the text.
pub(super) fn install(text: &str, edits: &[Edit]) -> Result<(String, Vec<String>), String> {
    let (mut document, mut foreign) = (parse(text)?, Vec::new());
    for Edit { entry, mark, .. } in edits {
        let Entry::Member { path, value } = entry else {
            continue;
        };
        let Some((last, above)) = path.split_last() else {
            continue;
        };
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for (depth, name) in above.iter().enumerate() {
            let item = table.entry(name).or_insert_with(|| {
                let mut fresh = Table::new();
                // A table that only holds tables needs no header of its own.
                fresh.set_implicit(true);
                Item::Table(fresh)
            });
            table = item
                .as_table_like_mut()
                .ok_or_else(|| format!("`{}` in it is no table", path[..=depth].join(".")))?;
        }
        match table.get(last).map(plain) {
            Some(old) if old == *value => {}
            Some(old) if !mark.is_on(&old) => foreign.push(path.join(".")),
            _ => drop(table.insert(last, section(value, !text.trim().is_empty()))),
        }
    }
    Ok((document.to_string(), foreign))
}

/// The text without the entries.
///
/// Errors: one sentence that says what is wrong with the text.
pub(super) fn remove(text: &str, edits: &[Edit]) -> Result<String, String> {
    let mut document = parse(text)?;
    for Edit { entry, mark, .. } in edits {
        let Entry::Member { path, .. } = entry else {
            continue;
        };
        take(document.as_table_mut(), path, &|item| mark.is_on(&plain(item)));
    }
    Ok(document.to_string())
}

/// Removes what is at a path when it is ours; says whether the table is empty then, and was not before.
fn take(table: &mut dyn TableLike, path: &[&str], ours: &dyn Fn(&Item) -> bool) -> bool {
    let removed = match path {
        [] => false,
        [last] => table.get(last).is_some_and(ours) && table.remove(last).is_some(),
        [first, rest @ ..] => {
            let below = table.get_mut(first).and_then(Item::as_table_like_mut);
            below.is_some_and(|below| take(below, rest, ours)) && table.remove(first).is_some()
        }
    };
    removed && table.is_empty()
}

/// Whether there is nothing in it.
pub(super) fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    let parsed: Result<DocumentMut, toml_edit::TomlError> = text.parse();
    parsed.map_err(|e| format!("it is not TOML: {}", e.message()))
}

/// A table of its own for an object.
fn section(value: &Value, apart: bool) -> Item {
    let Value::Object(members) = value else {
        return Item::Value(inline(value));
    };
    let mut table = Table::new();
    for (name, value) in members {
        table.insert(name, Item::Value(inline(value)));
    }
    if apart {
        table.decor_mut().set_prefix("\n");
    }
    Item::Table(table)
}

fn inline(value: &Value) -> TomlValue {
    match value {
        Value::Null => "".into(),
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => n.as_i64().unwrap_or_default().into(),
        Value::String(s) => s.as_str().into(),
        Value::Array(list) => TomlValue::Array(list.iter().map(inline).collect::<Array>()),
        Value::Object(map) => TomlValue::InlineTable(
            map.iter()
                .map(|(k, v)| (k.as_str(), inline(v)))
                .collect::<InlineTable>(),
        ),
    }
}

/// An item as plain data; what has no form there is nothing.
fn plain(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        return Value::Object(table.iter().map(|(k, v)| (k.to_owned(), plain(v))).collect());
    }
    fn of(value: &TomlValue) -> Value {
        match value {
            TomlValue::String(s) => s.value().as_str().into(),
            TomlValue::Integer(n) => (*n.value()).into(),
            TomlValue::Boolean(b) => (*b.value()).into(),
            TomlValue::Array(list) => list.iter().map(of).collect(),
            TomlValue::InlineTable(table) => {
                Value::Object(table.iter().map(|(k, v)| (k.to_owned(), of(v))).collect())
            }
            _ => Value::Null,
        }
    }
    item.as_value().map(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::edit::Mark;
    use super::super::piece::Piece;
    use super::*;
    use serde_json::json;

    fn mcp(command: &str) -> Vec<Edit> {
        vec![Edit {
            entry: Entry::Member {
                path: vec!["mcp_servers", "tokmon"],
                value: json!({"command": command, "args": []}),
            },
            mark: Mark::Command {
                program: "tokmon-mcp",
                words: vec![],
            },
            piece: Piece::Mcp,
        }]
    }

    #[test]
    fn what_stands_there_stays_to_the_byte() {
        for text in [
            "",
            "# mine\nmodel = \"gpt-5\" # the good one\n\n[mcp_servers.other]\ncommand = 'x'\n",
            "[mcp_servers]\n",
            "mcp_servers = { other = { command = \"x\" } }\n",
            "[tui]\nnotifications = true",
        ] {
            let (with, foreign) = install(text, &mcp("/b/tokmon-mcp")).unwrap();
            assert!(foreign.is_empty());
            assert_ne!(with, text);
            let parsed: DocumentMut = with.parse().unwrap();
            assert_eq!(
                parsed["mcp_servers"]["tokmon"]["command"].as_str(),
                Some("/b/tokmon-mcp"),
                "{with}"
            );
            assert_eq!(install(&with, &mcp("/b/tokmon-mcp")).unwrap().0, with, "again");
            let moved = install(&with, &mcp("/c/tokmon-mcp")).unwrap().0;
            assert!(
                moved.contains("/c/tokmon-mcp") && !moved.contains("/b/"),
                "{moved}"
            );
            let without = remove(&with, &mcp("")).unwrap();
            let same = |text: &str| text.replace("[mcp_servers]", "").trim().to_owned();
            assert_eq!(same(&without), same(text), "{without}");
        }
    }

    #[test]
    fn what_is_not_ours_is_not_touched() {
        let text = "[mcp_servers.tokmon]\ncommand = \"another\"\n";
        let (same, foreign) = install(text, &mcp("/b/tokmon-mcp")).unwrap();
        assert_eq!(
            (same.as_str(), foreign),
            (text, vec!["mcp_servers.tokmon".to_owned()])
        );
        assert_eq!(remove(text, &mcp("")).unwrap(), text);
        assert!(
            install("mcp_servers = 7", &mcp("x"))
                .unwrap_err()
                .contains("no table")
        );
        assert!(install("[", &mcp("x")).unwrap_err().contains("not TOML"));
    }
}
