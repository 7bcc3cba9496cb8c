//! What is to stand in an agent's configuration, and how to tell what is ours in it.

use serde_json::{Map, Value};

use super::piece::Piece;
use super::telemetry;

/// One entry of ours.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    /// What it is.
    pub(super) entry: Entry,
    /// By what it is known again, also after the user has changed it.
    pub(super) mark: Mark,
    /// What it is a part of.
    pub(super) piece: Piece,
}

/// Kinds of entries.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// A member of an object, e.g. `mcpServers.tokmon`.
    Member {
        /// Where.
        path: Vec<&'static str>,
        /// What.
        value: Value,
    },
    /// Members of an object that mean nothing without each other: all of them, or none when one is somebody else's.
    Group {
        /// Where the object is.
        path: Vec<&'static str>,
        /// What.
        members: Map<String, Value>,
    },
    /// A handler in the list of an event. Agents that group their handlers get a group of its own.
    Handler {
        /// Where the list is.
        path: Vec<&'static str>,
        /// What the group says beside its `hooks`; `None`: there are no groups.
        group: Option<Map<String, Value>>,
        /// The handler.
        value: Value,
    },
    /// A member that the agent wants to be there. One that is there stays as it is, and it stays when we go.
    Needed {
        /// Where.
        path: Vec<&'static str>,
        /// What.
        value: Value,
    },
}

/// How a value is known to be ours.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    /// It runs a program of ours.
    Command {
        /// The program's file name.
        program: &'static str,
        /// Its first arguments.
        words: Vec<&'static str>,
    },
    /// It sends telemetry to tokmon.
    Telemetry,
    /// It is on or off, in tokmon's own configuration.
    Switch,
}

impl Mark {
    /// Whether it is on a value.
    pub(super) fn is_on(&self, value: &Value) -> bool {
        match self {
            Mark::Command { program, words } => runs(value, program, words),
            Mark::Telemetry => telemetry::is_ours(value),
            Mark::Switch => value.is_boolean(),
        }
    }
}

/// Whether a value runs a program with these words first: as `command`, with or without `args`, or as a line for a shell.
fn runs(value: &Value, program: &str, first: &[&str]) -> bool {
    let Some(object) = value.as_object() else {
        return false;
    };
    let list = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let args = object.get("args").map(list);
    let commands = ["command", "bash"].iter().filter_map(|key| object.get(*key));
    commands.into_iter().any(|command| {
        let line = match (command, &args) {
            (Value::String(program), Some(args)) if !args.is_empty() => {
                [std::slice::from_ref(program), args].concat()
            }
            // A program without arguments may have blanks in its path.
            (Value::String(program), _) if first.is_empty() => vec![program.clone()],
            (Value::String(line), _) => words(line),
            (value, _) => list(value),
        };
        let mut line = line.iter().map(String::as_str);
        let named = line.next().unwrap_or_default();
        let name = named.rsplit(['/', '\\']).next().unwrap_or_default();
        name.trim_end_matches(".exe") == program && first.iter().all(|word| line.next() == Some(word))
    })
}

/// The words of a line for a shell, as far as quotes go.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A program with its arguments as a line for a shell.
pub(super) fn line(program: &str, args: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    let program = if program.chars().all(plain) {
        program.to_owned()
    } else {
        format!("'{}'", program.replace('\'', r"'\''"))
    };
    [&[program.as_str()], args].concat().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_command_is_known_in_every_form() {
        let mark = Mark::Command {
            program: "tokmonctl",
            words: vec!["hook", "codex"],
        };
        for (value, ours) in [
            (
                json!({"command": "/a b/tokmonctl", "args": ["hook", "codex"]}),
                true,
            ),
            (json!({"command": "tokmonctl hook codex --more"}), true),
            (json!({"command": "'/a b/tokmonctl' hook codex"}), true),
            (json!({"command": ["/x/tokmonctl", "hook", "codex"]}), true),
            (json!({"bash": "/x/tokmonctl hook codex"}), true),
            (json!({"command": "/x/tokmonctl hook claude-code"}), false),
            (json!({"command": "echo tokmonctl hook codex"}), false),
            (json!({"command": "/x/tokmonctl.sh hook codex"}), false),
            (json!({"command": 7}), false),
            (json!("tokmonctl hook codex"), false),
        ] {
            assert_eq!(mark.is_on(&value), ours, "{value}");
        }
    }

    #[test]
    fn lines_are_read_back() {
        for program in ["/usr/bin/tokmonctl", "/a b/it's/tokmonctl", "/ü/\"x\"/tokmonctl"] {
            assert_eq!(words(&line(program, &["hook", "x"])), [program, "hook", "x"]);
        }
    }
}
