//! Figures among an agent's token counts that its parser does not know: a newer version may count something that is
//! missing from the totals.
//!
//! Parsers meet them deep inside a line and have nothing to say about them, so they are noted beside, for the thread that
//! reads, and taken by whoever knows where the line stands.

use std::cell::{Cell, RefCell};

/// Names that are kept until they are taken: a line has a handful.
const MOST: usize = 8;
/// Longest name that is one.
const LONGEST: usize = 64;

thread_local! {
    static ANY: Cell<bool> = const { Cell::new(false) };
    static MET: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A field with this value is not known. Only what counts something and is no sum of the others is of interest.
pub(super) fn meet(field: &[u8], raw: &[u8]) {
    let counts =
        raw.first().is_some_and(u8::is_ascii_digit) && raw.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    let is_name = field.len() <= LONGEST
        && field
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte));
    let repeats = field.starts_with(b"total") || field.starts_with(b"max");
    if !counts || !is_name || repeats {
        return;
    }
    ANY.set(true);
    MET.with_borrow_mut(|met| {
        let name = String::from_utf8_lossy(field);
        if met.len() < MOST && !met.iter().any(|known| *known == name) {
            met.push(name.into_owned());
        }
    });
}

/// What was met since this was asked last.
pub(super) fn take() -> Vec<String> {
    match ANY.replace(false) {
        true => MET.take(),
        false => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::agents::{Agent, Form, Found, Parser, Reading, testing};

    #[test]
    fn a_figure_that_a_parser_does_not_know_is_told_of() {
        let claude = |usage: &str| {
            format!(
                r#"{{"type":"assistant","timestamp":"2026-11-20T09:15:02.000Z","sessionId":"s","message":{{"id":"m","model":"m","usage":{{"output_tokens":4,{usage}}}}}}}"#
            )
        };
        let codex = |usage: &str| {
            format!(
                r#"{{"timestamp":"2026-11-20T09:00:10.000Z","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"output_tokens":9,{usage}}}}}}}}}"#
            )
        };
        for (agent, line, wanted) in [
            (
                Agent::CLAUDE_CODE,
                claude(r#""moon_tokens":7,"tide":{"a":1},"none":0,"word":"9","off":null"#),
                vec!["moon_tokens"],
            ),
            (
                Agent::CLAUDE_CODE,
                claude(r#""cache_creation":{"ephemeral_1d_input_tokens":12}"#),
                vec!["ephemeral_1d_input_tokens"],
            ),
            (
                Agent::CLAUDE_CODE,
                claude(r#""service_tier":"x","total_tokens":7,"\u0007 7":8"#),
                vec![],
            ),
            (
                Agent::CODEX,
                codex(r#""total_tokens":9,"cosmic_tokens":0.5"#),
                vec!["cosmic_tokens"],
            ),
        ] {
            let Some(Form {
                read: Reading::Lines(open),
                ..
            }) = agent.format.forms.first()
            else {
                panic!("{agent:?} writes lines");
            };
            let mut found = Found::default();
            let mut parser = Parser::resume(*open, &[], testing::origin("/a/b.jsonl"));
            parser.read(format!("{line}\n{line}\n").as_bytes(), 50, &mut found);
            let got: Vec<_> = found
                .unknown
                .iter()
                .map(|u| (u.field.as_str(), u.count, u.offset))
                .collect();
            let wanted: Vec<_> = wanted.into_iter().map(|name| (name, 2, 50)).collect();
            assert_eq!(got, wanted, "{line}");
        }
    }

    #[test]
    fn however_many_there_are_only_so_many_are_kept() {
        let many: Vec<String> = (0..1_000).map(|n| format!(r#""tokens_{n}":1"#)).collect();
        let usage = many.join(",");
        let line =
            format!(r#"{{"type":"assistant","message":{{"id":"m","model":"m","usage":{{{usage}}}}}}}"#);
        let mut found = Found::default();
        let Some(Form {
            read: Reading::Lines(open),
            ..
        }) = Agent::CLAUDE_CODE.format.forms.first()
        else {
            panic!("it writes lines");
        };
        Parser::resume(*open, &[], testing::origin("/a/b.jsonl")).read(line.as_bytes(), 0, &mut found);
        assert_eq!(found.unknown.len(), super::MOST);
    }
}
