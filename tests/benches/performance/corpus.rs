//! Transcripts as Claude Code leaves them, any amount, always the same for the same size, and what a correct reader
//! must find in them: answers written several times while they stream, sidechains, resumed sessions that copy the head
//! of another, failed calls, tool results that hold the word `usage`, a last line cut off.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

const MODELS: [&str; 3] = [
    "claude-sonnet-4-5-20250929",
    "claude-opus-4-5-20251101",
    "claude-haiku-4-5-20251001",
];
const TOOLS: [&str; 6] = ["Read", "Edit", "Bash", "Grep", "Glob", "Write"];
const WORDS: [&str; 16] = [
    "let", "mut", "fn", "impl", "struct", "result", "async", "await", "match", "return", "ledger", "token",
    "session", "reader", "stream", "budget",
];
const DAYS: u64 = 180;

/// The sums that a correct reader finds: calls, and the disjoint buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) calls: u64,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_5m: u64,
    pub(crate) cache_1h: u64,
}

/// A directory to read as `CLAUDE_CONFIG_DIR`.
pub(crate) struct Corpus {
    pub(crate) dir: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) truth: Truth,
}

impl Corpus {
    /// Writes about `megabytes` into `files` files under `dir`.
    pub(crate) fn write(dir: &Path, files: u64, megabytes: u64) -> Corpus {
        let mut corpus = Corpus {
            dir: dir.to_path_buf(),
            bytes: 0,
            files,
            truth: Truth::default(),
        };
        let mut writer = Writer::new();
        let mean = megabytes * 1_000_000 / files.max(1);
        let mut before = String::new();
        for file in 0..files {
            let session = format!("9a7e1c00-0000-4000-8000-{file:012}");
            let subagent = file % 6 == 5;
            // Sizes differ by a factor of nine.
            let target = mean * (1 + 8 * (file % 5) / 4) / 5;
            let mut text = String::new();
            if file % 10 == 9 {
                text.push_str(&before);
            }
            writer.session(&mut text, &session, subagent, target.max(1_000) as usize);
            before = head(&text);
            if file % 50 == 49 {
                text.push_str(r#"{"type":"assistant","message":{"id":"msg_cut","usage":{"input_tokens":12"#);
            }
            let project = dir.join(format!("projects/-home-dev-work-proj{:02}", file % 40));
            let path = match subagent {
                true => project.join(format!("{session}/subagents/agent-{file}.jsonl")),
                false => project.join(format!("{session}.jsonl")),
            };
            std::fs::create_dir_all(path.parent().expect("below the corpus")).expect("a directory");
            std::fs::write(&path, &text).expect("room for the corpus");
            corpus.bytes += text.len() as u64;
        }
        corpus.truth = writer.truth();
        corpus
    }

    /// One that was written before, with its `ground_truth.json`.
    pub(crate) fn given(dir: &Path) -> Corpus {
        let path = dir.join("ground_truth.json");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let figure = |pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_u64)
                .unwrap_or_else(|| panic!("{}: no whole number at {pointer}", path.display()))
        };
        Corpus {
            dir: dir.to_path_buf(),
            bytes: figure("/bytes"),
            files: figure("/files"),
            truth: Truth {
                calls: figure("/unique_messages"),
                input: figure("/correct/input"),
                output: figure("/correct/output"),
                cache_read: figure("/correct/cache_read"),
                cache_5m: figure("/correct/cache5m"),
                cache_1h: figure("/correct/cache1h"),
            },
        }
    }
}

/// The first third, whole lines: what a resumed session copies.
fn head(text: &str) -> String {
    let third = text.len() / 3;
    let end = text.as_bytes()[..third].iter().rposition(|b| *b == b'\n');
    text[..end.map_or(0, |at| at + 1)].to_owned()
}

/// Calls by message id: what the last, largest line of each says.
struct Writer {
    random: u64,
    blob: String,
    now_s: u64,
    next: u64,
    calls: HashMap<u64, [u64; 5]>,
}

impl Writer {
    fn new() -> Writer {
        let mut writer = Writer {
            random: 0x9E37_79B9_7F4A_7C15,
            blob: String::new(),
            now_s: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            next: 0,
            calls: HashMap::new(),
        };
        while writer.blob.len() < 300_000 {
            let word = WORDS[writer.below(16) as usize];
            writer.blob.push_str(word);
            writer.blob.push_str(if writer.next.is_multiple_of(12) {
                "\\n"
            } else {
                " "
            });
            writer.next += 1;
        }
        writer.next = 0;
        writer
    }

    /// Xorshift: the corpus is the same on every machine.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    /// So many bytes of words, escaped for JSON.
    fn prose(&mut self, bytes: u64) -> String {
        let from = self.below(self.blob.len() as u64 - bytes - 2) as usize;
        let text = &self.blob[from..from + bytes as usize];
        // A cut must not leave half of an escape.
        text.trim_start_matches('n').trim_end_matches('\\').to_owned()
    }

    fn session(&mut self, text: &mut String, session: &str, subagent: bool, target: usize) {
        let mut at = self.now_s - self.below(DAYS * 86_400) - 86_400;
        let model = MODELS[self.below(3) as usize];
        let mut context = 12_000 + self.below(10_000);
        let begin = text.len();
        while text.len() - begin < target {
            at += 3 + self.below(20);
            let base = format!(
                r#"{{"parentUuid":"1f0e8d3c-0000-4000-8000-000000000000","isSidechain":{subagent},"userType":"external","cwd":"/home/dev/work/proj","sessionId":"{session}","version":"2.1.20","gitBranch":"main","timestamp":"{}""#,
                rfc3339(at)
            );
            if self.below(250) == 0 {
                failed(text, &base);
                continue;
            }
            context = 12_000 + (context + self.below(6_000)) % 160_000;
            self.call(text, &base, model, context);
            self.result(text, &base);
        }
    }

    /// One to four lines of one answer: the same usage, but only the last knows all of the output.
    fn call(&mut self, text: &mut String, base: &str, model: &str, context: u64) {
        let id = self.next;
        self.next += 1;
        let (input, written, output) = (
            1 + self.below(13),
            150 + self.below(8_000),
            20 + self.below(1_500),
        );
        let hour = self.below(3) == 0;
        let (five, hour) = if hour { (0, written) } else { (written, 0) };
        let lines = 1 + self.below(4);
        for line in 0..lines {
            let last = line + 1 == lines;
            let told = if last { output } else { 1 + self.below(8) };
            let prose = self.prose(200 + 400 * (lines - line));
            let content = match last {
                true => {
                    let tool = TOOLS[self.below(6) as usize];
                    format!(
                        r#"{{"type":"tool_use","id":"toolu_{id}","name":"{tool}","input":{{"file_path":"/src/a.rs","content":"{prose}"}}}}"#
                    )
                }
                false => format!(r#"{{"type":"text","text":"{prose}"}}"#),
            };
            writeln!(
                text,
                r#"{base},"type":"assistant","uuid":"{id:08}-0000-4000-8000-{line:012}","requestId":"req_{id:024}","message":{{"model":"{model}","id":"msg_{id:024}","type":"message","role":"assistant","content":[{content}],"stop_reason":null,"usage":{{"input_tokens":{input},"cache_creation_input_tokens":{written},"cache_read_input_tokens":{context},"cache_creation":{{"ephemeral_5m_input_tokens":{five},"ephemeral_1h_input_tokens":{hour}}},"output_tokens":{told},"service_tier":"standard"}}}}}}"#
            )
            .expect("a string takes all");
        }
        self.calls.insert(id, [input, output, context, five, hour]);
    }

    /// A tool's result, twice, as the agent writes it: most of the bytes.
    fn result(&mut self, text: &mut String, base: &str) {
        let rare = self.below(40);
        let length = if rare == 0 {
            40_000
        } else {
            300 + self.below(5_000)
        };
        let mut body = self.prose(length);
        if rare == 1 {
            body.push_str(r#"{\"usage\":{\"input_tokens\":999999,\"output_tokens\":999999}}"#);
        }
        let id = self.next;
        writeln!(
            text,
            r#"{base},"type":"user","uuid":"{id:08}-0000-4000-8000-000000000099","message":{{"role":"user","content":[{{"tool_use_id":"toolu_{id}","type":"tool_result","content":"{body}"}}]}},"toolUseResult":{{"type":"text","file":{{"filePath":"/src/x.rs","content":"{body}"}}}}}}"#
        )
        .expect("a string takes all");
    }

    fn truth(&self) -> Truth {
        let mut truth = Truth {
            calls: self.calls.len() as u64,
            ..Truth::default()
        };
        for [input, output, read, five, hour] in self.calls.values() {
            truth.input += input;
            truth.output += output;
            truth.cache_read += read;
            truth.cache_5m += five;
            truth.cache_1h += hour;
        }
        truth
    }
}

/// A call that the provider refused: no tokens, not a call.
fn failed(text: &mut String, base: &str) {
    writeln!(
        text,
        r#"{base},"type":"assistant","isApiErrorMessage":true,"message":{{"model":"<synthetic>","id":"e","type":"message","role":"assistant","content":[{{"type":"text","text":"API Error: overloaded"}}],"usage":{{"input_tokens":0,"output_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0}}}}}}"#
    )
    .expect("a string takes all");
}

/// An instant as agents write it. Days by the civil calendar (H. Hinnant's algorithm).
pub(crate) fn rfc3339(unix_s: u64) -> String {
    let days = unix_s / 86_400 + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (unix_s / 3_600 % 24, unix_s / 60 % 60, unix_s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}
