//! Words that may not appear: unfinished work, unbounded queues, waiting by sleeping, places of one machine.

use super::{assert_none, files, root, sources};

/// Each with where it is allowed, if anywhere. Written in two halves, so that this file does not find itself.
const BANNED: [(&str, &[&str]); 12] = [
    (concat!("todo", "!("), &[]),
    (concat!("unimplemented", "!("), &[]),
    (concat!("dbg", "!("), &[]),
    (concat!("unbounded", "_channel"), &[]),
    (concat!("mpsc::", "unbounded"), &[]),
    (concat!("mpsc::", "channel()"), &[]),
    (concat!("thread::", "sleep"), &[]),
    (concat!("#[", "ignore"), &[]),
    (concat!("FIX", "ME"), &[]),
    (concat!("XX", "X:"), &[]),
    (concat!("allow(", "dead_code"), &[]),
    (concat!("mod ", "utils"), &[]),
];

/// Names of files that say nothing about what is in them.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "helpers", "common", "misc"];

#[test]
fn banned_words_do_not_appear() {
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for (word, allowed) in BANNED {
                if line.contains(word) && !allowed.contains(&source.path.as_str()) {
                    found.push(format!("{}:{}: {word}", source.path, number + 1));
                }
            }
        }
    }
    assert_none("these words do not belong here", &found);
}

#[test]
fn files_are_named_after_their_subject() {
    let named: Vec<String> = sources()
        .iter()
        .map(|s| &s.path)
        .filter(|path| {
            let stem = path
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .trim_end_matches(".rs");
            EMPTY_NAMES.contains(&stem)
        })
        .cloned()
        .collect();
    assert_none("a file's name says its subject", &named);
}

#[test]
fn no_place_of_one_machine_is_named() {
    let here = root().display().to_string();
    let home = std::env::var("HOME").unwrap_or_default();
    let places: Vec<String> = [here, home]
        .into_iter()
        .filter(|place| place.len() > 2)
        .map(|place| format!("{place}/"))
        .collect();
    let mut found = Vec::new();
    for file in files(&["rs", "toml", "md", "proto", "py", "service", "socket", "plist"]) {
        for (number, line) in file.text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place.as_str())) {
                found.push(format!("{}:{}", file.path, number + 1));
            }
        }
    }
    assert_none("paths of this machine", &found);
}
