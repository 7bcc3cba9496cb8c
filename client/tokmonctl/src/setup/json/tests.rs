//! Examples of edited JSON.

use serde_json::json;

use super::super::piece::Piece;
use super::*;

fn edits() -> Vec<Edit> {
    let hook = Mark::Command {
        program: "tokmonctl",
        words: vec!["hook", "claude-code"],
    };
    let value =
        json!({"type": "command", "command": "/b/tokmonctl", "args": ["hook", "claude-code"], "timeout": 5});
    let handler = |event: &'static str, group: Map<String, Value>| Edit {
        entry: Entry::Handler {
            path: vec!["hooks", event],
            group: Some(group),
            value: value.clone(),
        },
        mark: hook.clone(),
        piece: Piece::Hooks,
    };
    vec![
        handler("UserPromptSubmit", Map::new()),
        handler(
            "PreToolUse",
            Map::from_iter([("matcher".to_owned(), "Task".into())]),
        ),
        Edit {
            entry: Entry::Member {
                path: vec!["mcpServers", "tokmon"],
                value: json!({"command": "/b/tokmon-mcp", "args": []}),
            },
            mark: Mark::Command {
                program: "tokmon-mcp",
                words: vec![],
            },
            piece: Piece::Mcp,
        },
    ]
}

const FILES: [&str; 9] = [
    "{}\n",
    "{}",
    "{\n}\n",
    "{\"model\":\"opus\"}",
    "{\n  // mine\n  \"model\": \"opus\", /* the good one */\n  \"env\": {\"A\": \"1\",},\n}\n",
    "{\r\n\t\"model\": \"opus\"\r\n}\r\n",
    "{\n  \"hooks\": {\n    \"UserPromptSubmit\": [\n      {\n        \"hooks\": [\n          {\"type\": \"command\", \"command\": \"mine.sh\"}\n        ]\n      }\n    ]\n  }\n}\n",
    "{\n  \"hooks\": {\n    \"Stop\": [], // none\n    \"PreToolUse\": [{\"matcher\": \"Bash\", \"hooks\": [{\"type\": \"command\", \"command\": \"x\"}]}]\n  },\n  \"mcpServers\": {\"other\": {\"command\": \"y\"}}\n}",
    "\u{feff}{\n    \"a\": [1, 2.50, 1e3, \"\\u00e4\"]\n}\n",
];

fn values(text: &str) -> Value {
    let text = text.trim_start_matches('\u{feff}');
    CstRootNode::parse(text, &STRICT)
        .unwrap()
        .to_serde_value()
        .unwrap()
}

#[test]
fn what_is_put_in_and_taken_out_again_leaves_no_trace() {
    for file in FILES {
        let (with, foreign) = install(file, &edits()).unwrap();
        assert!(foreign.is_empty());
        let now = values(&with);
        let lists = [&now["hooks"]["UserPromptSubmit"], &now["hooks"]["PreToolUse"]];
        for list in lists {
            let last = list
                .as_array()
                .and_then(|l| l.last())
                .unwrap_or_else(|| panic!("{with}"));
            assert_eq!(last["hooks"][0]["command"], "/b/tokmonctl", "{with}");
        }
        assert_eq!(now["mcpServers"]["tokmon"]["command"], "/b/tokmon-mcp");
        for line in file
            .lines()
            .filter(|line| line.contains("//") || line.contains("/*"))
        {
            assert!(with.contains(line.trim()), "{line} is gone from\n{with}");
        }
        assert_eq!(install(&with, &edits()).unwrap().0, with, "again");
        let without = remove(&with, &edits()).unwrap();
        assert_eq!(values(&without), values(file), "{without}");
        assert_eq!(file.contains("\r\n"), without.contains("\r\n"));
        assert_eq!(
            remove(file, &edits()).unwrap(),
            *file,
            "nothing of ours, nothing to do"
        );
    }
}

#[test]
fn an_entry_of_ours_is_renewed_in_its_place() {
    let (with, _) = install(FILES[6], &edits()).unwrap();
    let former = with
        .replace("/b/tokmonctl", "/old/tokmonctl")
        .replace("/b/tokmon-mcp", "/old/tokmon-mcp");
    assert_eq!(install(&former, &edits()).unwrap().0, with);
}

#[test]
fn what_the_user_did_since_stays() {
    let (with, _) = install("{}\n", &edits()).unwrap();
    let mut mine = values(&with);
    mine["hooks"]["UserPromptSubmit"][0]["hooks"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "command", "command": "mine.sh"}));
    mine["mcpServers"]["tokmon"]["env"] = json!({"A": "1"});
    mine["theme"] = "dark".into();
    let text = serde_json::to_string_pretty(&mine).unwrap();
    let without = values(&remove(&text, &edits()).unwrap());
    assert_eq!(
        without,
        json!({"hooks": {"UserPromptSubmit": [{"hooks": [{"type": "command", "command": "mine.sh"}]}]}, "theme": "dark"})
    );
}

#[test]
fn a_foreign_entry_of_our_name_is_left_alone() {
    let text = "{\"mcpServers\": {\"tokmon\": {\"command\": \"theirs\"}}}";
    let (with, foreign) = install(text, &edits()[2..]).unwrap();
    assert_eq!(
        (with.as_str(), foreign),
        (text, vec!["mcpServers.tokmon".to_owned()])
    );
    assert_eq!(remove(text, &edits()).unwrap(), text);
}

#[test]
fn a_file_that_is_broken_is_refused() {
    for (text, part) in [
        ("{\"a\": }", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ("{\"a\": 1 \"b\": 2}", "not JSON"),
        ("[1]", "no object"),
        ("{\"hooks\": 7}", "`hooks` in it is no object"),
        ("{\"hooks\": {\"UserPromptSubmit\": {}}}", "is no list"),
    ] {
        let error = install(text, &edits()).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

fn group() -> Vec<Edit> {
    let members = json!({"OTEL_EXPORTER": "otlp", "HEADERS": "x-tokmon-token=0123456789abcdef", "ON": "1"});
    vec![Edit {
        entry: Entry::Group {
            path: vec!["env"],
            members: members.as_object().unwrap().clone(),
        },
        mark: Mark::Telemetry,
        piece: Piece::Telemetry,
    }]
}

#[test]
fn members_come_and_go_together() {
    for text in [
        "{}\n",
        "{\n  // mine\n  \"env\": {\"A\": \"1\"}\n}\n",
        "{\"env\": {}, \"x\": [1,],}",
    ] {
        let (with, foreign) = install(text, &group()).unwrap();
        assert!(foreign.is_empty() && values(&with)["env"]["ON"] == "1", "{with}");
        assert_eq!(install(&with, &group()).unwrap().0, with, "again");
        // Another token, as after a new ledger: all of it is renewed.
        let former = with.replace("0123456789abcdef", "fedcba9876543210");
        assert_eq!(install(&former, &group()).unwrap().0, with);
        let mut wanted = values(text);
        if wanted["env"] == json!({}) {
            wanted.as_object_mut().unwrap().remove("env");
        }
        assert_eq!(values(&remove(&with, &group()).unwrap()), wanted, "{with}");
    }
}

#[test]
fn one_foreign_member_keeps_all_of_them_away() {
    for text in [
        "{\"env\": {\"ON\": \"0\"}}",
        "{\"env\": {\"OTEL_EXPORTER\": \"otlp\", \"HEADERS\": \"authorization=x\"}}",
    ] {
        let (same, foreign) = install(text, &group()).unwrap();
        assert_eq!((same.as_str(), foreign.len()), (text, 1));
        assert_eq!(remove(text, &group()).unwrap(), text);
    }
    assert!(
        install("{\"env\": 7}", &group())
            .unwrap_err()
            .contains("no object")
    );
}
