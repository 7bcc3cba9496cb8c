//! Which files below a directory belong to an agent: `*/chats/session-*.json`, `**/*.jsonl`.
//!
//! `*` stands for any characters within one name, `**` for any number of directories. A pattern also tells which
//! directories may hold such files, so that a walk leaves the others alone.

use std::path::{Component, Path};

/// Whether a file's path, relative to its root, fits the pattern.
pub(crate) fn fits(pattern: &str, path: &Path) -> bool {
    names(path).is_some_and(|names| all(&split(pattern), &names))
}

/// Whether files that fit the pattern may lie below a directory, given by its path relative to the root.
pub(crate) fn leads_on(pattern: &str, dir: &Path) -> bool {
    names(dir).is_some_and(|names| beginning(&split(pattern), &names))
}

/// Whether a name alone fits the last part of the pattern.
pub(crate) fn fits_name(pattern: &str, name: &str) -> bool {
    one(
        pattern.rsplit('/').next().unwrap_or_default().as_bytes(),
        name.as_bytes(),
    )
}

fn split(pattern: &str) -> Vec<&str> {
    pattern.split('/').collect()
}

/// The names of a relative path; broken UTF-8 is replaced, which no pattern's fixed part is made of.
fn names(path: &Path) -> Option<Vec<String>> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    };
    path.components().map(name).collect()
}

fn all(pattern: &[&str], names: &[String]) -> bool {
    match (pattern.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            all(rest, names) || names.split_first().is_some_and(|(_, below)| all(pattern, below))
        }
        (Some((first, rest)), Some((name, below))) => {
            one(first.as_bytes(), name.as_bytes()) && all(rest, below)
        }
        _ => false,
    }
}

/// Whether the names are those of a directory above something that fits.
fn beginning(pattern: &[&str], names: &[String]) -> bool {
    match (pattern.split_first(), names.split_first()) {
        (Some((&"**", _)), _) => true,
        (Some((_, rest)), None) => !rest.is_empty() || pattern.len() == 1,
        (Some((first, rest)), Some((name, below))) => {
            !rest.is_empty() && one(first.as_bytes(), name.as_bytes()) && beginning(rest, below)
        }
        (None, _) => false,
    }
}

/// Whether one name fits; `*` is the only special character.
fn one(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how far it reaches.
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, seen));
            at += 1;
        } else if pattern.get(at) == Some(&name[seen]) {
            (at, seen) = (at + 1, seen + 1);
        } else if let Some((from, reach)) = star {
            star = Some((from, reach + 1));
            (at, seen) = (from + 1, reach + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_fit_or_do_not() {
        for (pattern, path, wanted) in [
            ("**/*.jsonl", "a.jsonl", true),
            ("**/*.jsonl", "a/b/c.jsonl", true),
            ("**/*.jsonl", "a/b/c.jsonl.zst", false),
            ("**/*.jsonl", "a/b/.jsonl", true),
            ("*/chats/session-*.json", "h/chats/session-1.json", true),
            ("*/chats/session-*.json", "h/chats/x/session-1.json", false),
            ("*/chats/session-*.json", "h/chats/session-1.jsonl", false),
            ("*/chats/session-*.json", "chats/session-1.json", false),
            ("*/chats/**/session-*.json", "h/chats/p/q/session-1.json", true),
            ("store.db", "store.db", true),
            ("store.db", "a/store.db", false),
            ("store.db", "store.dbx", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "anything", true),
            ("é*.json", "éa.json", true),
            ("**/x/*.json", "x/1.json", true),
            ("**/x/*.json", "a/x/b/x/1.json", true),
            ("**/x/*.json", "a/b/1.json", false),
            ("*.json", "../1.json", false),
        ] {
            assert_eq!(fits(pattern, Path::new(path)), wanted, "{pattern} {path}");
        }
        assert!(fits_name("otel/*.jsonl", "spans.jsonl"));
        assert!(!fits_name("otel/*.jsonl", "spans.log"));
    }

    #[test]
    fn only_directories_that_may_hold_such_files_are_entered() {
        for (pattern, dir, wanted) in [
            ("**/*.jsonl", "", true),
            ("**/*.jsonl", "a/b", true),
            ("store.db", "", true),
            ("store.db", "a", false),
            ("*/chats/session-*.json", "", true),
            ("*/chats/session-*.json", "h", true),
            ("*/chats/session-*.json", "h/chats", true),
            ("*/chats/session-*.json", "h/checkpoints", false),
            ("*/chats/session-*.json", "h/chats/x", false),
            ("sessions/**/x.json", "sessions/a/b", true),
            ("sessions/**/x.json", "logs", false),
        ] {
            assert_eq!(leads_on(pattern, Path::new(dir)), wanted, "{pattern} {dir}");
        }
    }
}
