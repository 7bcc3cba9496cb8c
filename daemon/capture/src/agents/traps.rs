//! Traps for the agents that write documents: whatever is done to a file, reading it never panics, finds no more than was
//! there, and knows what it has read already.

use tokmon_core::limits::MAX_TOKENS_PER_CALL;

use super::testing::{document, keys};
use super::{Agent, Found, ReadDocument, Reading};

/// A file of an agent, and the tokens in it.
struct Sample {
    agent: &'static str,
    /// Below a root of the agent.
    path: &'static str,
    text: &'static str,
    total: u64,
}

const SAMPLES: [Sample; 9] = [
    Sample {
        agent: "amp",
        path: "T-1.json",
        text: r#"{"id":"T-1","messages":[{"messageId":3,"role":"assistant","usage":{"model":"claude-opus-4-8","timestamp":"2026-11-20T08:02:00Z","inputTokens":11,"outputTokens":210,"cacheReadInputTokens":5000,"cacheCreationInputTokens":400,"credits":1.25}}],"usageLedger":{"events":[{"id":"e1","timestamp":"2026-11-20T08:02:01Z","model":"claude-opus-4-8","tokens":{"input":59,"output":27},"toMessageId":0}]}}"#,
        total: 5707,
    },
    Sample {
        agent: "droid",
        path: "-w-app/s1.settings.json",
        text: r#"{"model":"claude-opus-4-8","providerLock":"anthropic","providerLockTimestamp":"2026-11-20T08:00:00Z","tokenUsage":{"inputTokens":300,"outputTokens":900,"cacheCreationTokens":2000,"cacheReadTokens":80000,"thinkingTokens":50,"factoryCredits":3.25}}"#,
        total: 83_200,
    },
    Sample {
        agent: "roo-code",
        path: "tasks/1795160000000/ui_messages.json",
        text: r#"[{"ts":1795160000001,"type":"say","say":"text","text":"hi"},{"ts":1795160000002,"type":"say","say":"api_req_started","text":"{\"tokensIn\":150,\"tokensOut\":90,\"cacheReads\":4000,\"cacheWrites\":300,\"cost\":0.0041}"},{"ts":1795160000003,"type":"say","say":"api_req_started","text":"{\"tokensIn\":7,\"tokensOut\":3}"}]"#,
        total: 4550,
    },
    Sample {
        agent: "cline-cli",
        path: "s1/s1.messages.json",
        text: r#"{"messages":[{"id":"m1","ts":1795160000001,"role":"assistant","modelInfo":{"id":"claude-sonnet-5","provider":"anthropic"},"metrics":{"inputTokens":4450,"outputTokens":90,"cacheReadTokens":4000,"cacheWriteTokens":300,"cost":0.0041}}]}"#,
        total: 4540,
    },
    Sample {
        agent: "goose",
        path: "20261120_1.jsonl",
        text: r#"{"working_dir":"/w/app","message_count":2,"accumulated_input_tokens":1200,"accumulated_output_tokens":300,"accumulated_total_tokens":1500}"#,
        total: 1500,
    },
    Sample {
        agent: "continue",
        path: "sessions/s1.json",
        text: r#"{"sessionId":"s1","workspaceDirectory":"file:///w/app","chatModelTitle":"gpt-5","history":[],"usage":{"promptTokens":1000,"completionTokens":50,"promptTokensDetails":{"cachedTokens":600,"cacheWriteTokens":100},"totalCost":0.25}}"#,
        total: 1050,
    },
    Sample {
        agent: "cursor",
        path: "w/agent-transcripts/0197a1b2-0000-4000-8000-00000000000a/0197a1b2-0000-4000-8000-00000000000a.jsonl",
        text: "{\"role\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"fourteen chars\"}]}}\n",
        total: 4,
    },
    Sample {
        agent: "cursor",
        path: "w/agent-transcripts/0197a1b2-0000-4000-8000-00000000000a.json",
        text: "[{\"role\":\"assistant\",\"text\":\"fourteen chars\"}]",
        total: 4,
    },
    Sample {
        agent: "cursor",
        path: "w/agent-transcripts/0197a1b2-0000-4000-8000-00000000000a.txt",
        text: "user:\nwhy?\nassistant:\nfourteen chars\n",
        total: 5,
    },
];

impl Sample {
    fn reader(&self) -> ReadDocument {
        let agent = Agent::parse(self.agent).unwrap();
        match agent.form(self.path.as_ref(), false).unwrap().read {
            Reading::Document(read) => read,
            Reading::Lines(_) | Reading::Database(_) => panic!("{} is no document", self.path),
        }
    }

    fn read(&self, text: &str) -> Found {
        document(self.reader(), &format!("/r/{}", self.path), text)
    }

    /// Where its numbers stand, in quotes and out of them.
    fn numbers(&self) -> Vec<(usize, usize)> {
        let bytes = self.text.as_bytes();
        let part_of_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        let mut numbers = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let begins = bytes[..at].ends_with(b"\":") && bytes[at].is_ascii_digit();
            let length = bytes[at..]
                .iter()
                .take_while(|byte| part_of_number(**byte))
                .count();
            if begins {
                numbers.push((at, at + length));
            }
            at += length.max(1);
        }
        numbers
    }
}

/// What was found is within bounds; the sum of it.
fn total(found: &Found, what: &str) -> u64 {
    let mut sum = 0;
    for seen in &found.observations {
        for count in seen.tokens.to_array() {
            assert!(count <= 1_000 * MAX_TOKENS_PER_CALL, "{what}");
        }
        sum += seen.tokens.total();
    }
    sum
}

#[test]
fn the_samples_are_what_they_seem() {
    for sample in SAMPLES {
        let found = sample.read(sample.text);
        assert_eq!(
            (total(&found, sample.path), found.failures),
            (sample.total, 0),
            "{}",
            sample.path
        );
        assert_eq!(keys(&sample.read(sample.text)), keys(&found), "{}", sample.path);
    }
}

#[test]
fn a_file_that_is_cut_anywhere_tells_of_no_more_than_was_there() {
    for sample in SAMPLES {
        for end in 0..sample.text.len() {
            let Some(cut) = sample.text.get(..end) else {
                continue;
            };
            let found = sample.read(cut);
            assert!(total(&found, cut) <= sample.total, "{cut}");
        }
    }
}

#[test]
fn a_byte_that_is_not_text_or_breaks_a_document_costs_no_more_than_its_part() {
    for sample in SAMPLES {
        for at in 0..sample.text.len() {
            for byte in [0xff, 0x00, b'"', b'{', b']', b'\\', b'\n'] {
                let mut bytes = sample.text.as_bytes().to_vec();
                bytes[at] = byte;
                let path = format!("/r/{}", sample.path);
                let found = super::testing::Documents::new(sample.reader(), &path).read_bytes(&bytes);
                // A text may be longer by what it is quoted with, and what was a part of the prompt stand beside it.
                let most = 2 * sample.total + 16;
                assert!(total(&found, sample.path) <= most, "{} {at} {byte}", sample.path);
            }
        }
    }
}

#[test]
fn numbers_may_be_texts_and_no_nonsense_is_believed() {
    for sample in SAMPLES {
        for (begin, end) in sample.numbers() {
            let with = |value: &str| format!("{}{value}{}", &sample.text[..begin], &sample.text[end..]);
            let number = &sample.text[begin..end];
            let quoted = sample.text[..begin].matches("\\\"").count() % 2 == 0
                && sample.text[..begin].ends_with("\\\":");
            let text = if quoted {
                format!("\\\"{number}\\\"")
            } else {
                format!("\"{number}\"")
            };
            let same = sample.read(&with(&text));
            assert_eq!(
                total(&same, &text),
                sample.total,
                "{}: {}",
                sample.path,
                with(&text)
            );
            for bad in [
                "-1",
                "-0.5",
                "NaN",
                "Infinity",
                "1e99",
                "9007199254740993",
                "18446744073709551616",
                "null",
                "true",
                "[]",
                "{}",
            ] {
                let text = with(bad);
                let found = sample.read(&text);
                // A missing share of the cache stays in the prompt, so nothing grows.
                assert!(total(&found, &text) <= sample.total, "{text}");
            }
        }
    }
}

#[test]
fn what_is_there_twice_counts_once_and_a_huge_file_is_read() {
    for sample in SAMPLES {
        let found = sample.read(sample.text);
        let mut seen = keys(&found);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), found.observations.len(), "{}", sample.path);
        // A text of a mebibyte in front, which no figure stands in.
        let filler = format!(r#"{{"filler":"{}","#, "x".repeat(1 << 20));
        let huge = sample.text.replacen('{', &filler, 1);
        if sample.text.starts_with('{') {
            assert_eq!(
                total(&sample.read(&huge), sample.path),
                sample.total,
                "{}",
                sample.path
            );
        }
    }
}
