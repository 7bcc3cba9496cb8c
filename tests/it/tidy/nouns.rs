//! One noun, the same name in every place: a newcomer guesses every path.

use super::{assert_none, root};

/// Nouns of the contract, with what each is called on the command line, which groups some by what people do.
const NOUNS: [(&str, &[&str]); 13] = [
    ("usage", &["log", "watch", "explain"]),
    ("report", &["report"]),
    ("session", &["session"]),
    ("budget", &["budget"]),
    ("audit", &["audit"]),
    ("api", &["api"]),
    ("task", &["task"]),
    ("token", &["count"]),
    ("price", &["price"]),
    ("hook", &["hook"]),
    ("quota", &["quota"]),
    ("statusline", &["statusline"]),
    ("daemon", &["daemon", "status", "ledger", "config"]),
];

#[test]
fn every_noun_has_its_five_places() {
    let mut missing = Vec::new();
    let mut want = |base: &str, name: &str, ending: &str| {
        let file = format!("{base}/{name}{ending}");
        let folder = format!("{base}/{name}");
        if !root().join(&file).is_file() && !root().join(&folder).is_dir() {
            missing.push(file);
        }
    };
    for (noun, commands) in NOUNS {
        want("proto/tokmon/v1", noun, ".proto");
        want("daemon/src/rpc", noun, ".rs");
        want("tests/it", noun, ".rs");
        for command in commands {
            want("client/tokmonctl/src", command, ".rs");
        }
    }
    assert_none("each noun has its place everywhere", &missing);
}

#[test]
fn every_part_of_the_contract_is_a_noun() {
    let known: Vec<String> = NOUNS
        .iter()
        .map(|(noun, _)| format!("{noun}.proto"))
        .chain(["common.proto".to_owned()])
        .collect();
    let strangers: Vec<String> = std::fs::read_dir(root().join("proto/tokmon/v1"))
        .expect("the contract")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !known.contains(name))
        .collect();
    assert_none("files of the contract without a place in NOUNS", &strangers);
}
