//! Transcripts as Claude Code and Codex write them, with figures chosen by the test.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::env::Env;

/// One answer of Claude, as one transcript line tells of it.
#[derive(Debug, Clone)]
pub struct ClaudeCall {
    /// Message id: what makes the call unique.
    pub id: &'static str,
    /// RFC 3339.
    pub at: &'static str,
    /// Session of the line.
    pub session: &'static str,
    /// Model.
    pub model: &'static str,
    /// Uncached input tokens.
    pub input: u64,
    /// Output tokens so far; streaming partials carry less than the last line.
    pub output: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens written to the cache for five minutes.
    pub cache_5m: u64,
    /// Tokens written to the cache for an hour.
    pub cache_1h: u64,
    /// Tool that the answer calls.
    pub tool: Option<&'static str>,
}

impl Default for ClaudeCall {
    fn default() -> ClaudeCall {
        ClaudeCall {
            id: "msg_1",
            at: "2026-11-20T09:00:00.000Z",
            session: "claude-session-1",
            model: "claude-sonnet-4-5-20250929",
            input: 1_500,
            output: 800,
            cache_read: 0,
            cache_5m: 0,
            cache_1h: 0,
            tool: None,
        }
    }
}

impl ClaudeCall {
    /// The line, with its end.
    pub fn line(&self) -> String {
        let content = match self.tool {
            Some(tool) => {
                json!([{"type": "tool_use", "id": format!("toolu_{}", self.id), "name": tool, "input": {}}])
            }
            None => json!([{"type": "text", "text": "done"}]),
        };
        let line = json!({
            "type": "assistant",
            "timestamp": self.at,
            "sessionId": self.session,
            "uuid": format!("uuid-{}-{}", self.id, self.output),
            "requestId": format!("req_{}", self.id),
            "isSidechain": false,
            "cwd": "/home/me/app",
            "version": "2.1.251",
            "message": {
                "id": self.id,
                "role": "assistant",
                "model": self.model,
                "stop_reason": "end_turn",
                "content": content,
                "usage": {
                    "input_tokens": self.input,
                    "output_tokens": self.output,
                    "cache_read_input_tokens": self.cache_read,
                    "cache_creation_input_tokens": self.cache_5m + self.cache_1h,
                    "cache_creation": {
                        "ephemeral_5m_input_tokens": self.cache_5m,
                        "ephemeral_1h_input_tokens": self.cache_1h,
                    },
                    "service_tier": "standard",
                },
            },
        });
        format!("{line}\n")
    }
}

/// The transcript of one Claude Code session.
pub fn claude_file(env: &Env, session: &str) -> PathBuf {
    env.claude()
        .join("projects/-home-me-app")
        .join(format!("{session}.jsonl"))
}

/// Appends lines to a Claude Code transcript.
pub fn claude(env: &Env, session: &str, calls: &[ClaudeCall]) {
    let text: String = calls.iter().map(ClaudeCall::line).collect();
    append(&claude_file(env, session), &text);
}

/// A Codex session whose cumulative totals grow turn by turn.
pub struct Codex {
    file: PathBuf,
    total: [u64; 4],
}

impl Codex {
    /// Starts a rollout of 2026-11-20 with its header.
    pub fn start(env: &Env, id: &str, model: &str) -> Codex {
        let file = env
            .codex()
            .join("sessions/2026/11/20")
            .join(format!("rollout-2026-11-20T09-00-00-{id}.jsonl"));
        let session = Codex { file, total: [0; 4] };
        session.write(
            "2026-11-20T09:00:00.000Z",
            "session_meta",
            json!({"id": id, "cwd": "/home/me/app", "originator": "codex_cli_rs", "cli_version": "0.159.0",
                   "source": "cli", "model_provider": "openai"}),
        );
        session.write(
            "2026-11-20T09:00:01.000Z",
            "turn_context",
            json!({"cwd": "/home/me/app", "model": model, "effort": "high"}),
        );
        session
    }

    /// Writes one answer: input with its cached part, output with its reasoning part.
    pub fn turn(&mut self, at: &str, input: u64, cached: u64, output: u64, reasoning: u64) {
        let last = [input, cached, output, reasoning];
        for (sum, more) in self.total.iter_mut().zip(last) {
            *sum += more;
        }
        self.token_count(at, last);
    }

    /// Writes the last `token_count` again, as Codex does after tool output.
    pub fn emit_again(&self, at: &str) {
        self.token_count(at, self.total);
    }

    fn token_count(&self, at: &str, last: [u64; 4]) {
        let usage = |u: [u64; 4]| {
            json!({"input_tokens": u[0], "cached_input_tokens": u[1], "output_tokens": u[2],
                   "reasoning_output_tokens": u[3], "total_tokens": u[0] + u[2]})
        };
        self.write(
            at,
            "event_msg",
            json!({"type": "token_count", "info": {
                "total_token_usage": usage(self.total),
                "last_token_usage": usage(last),
                "model_context_window": 258_400}}),
        );
    }

    fn write(&self, at: &str, kind: &str, payload: Value) {
        let line = json!({"timestamp": at, "type": kind, "payload": payload});
        append(&self.file, &format!("{line}\n"));
    }
}

/// Appends text to a file in one write, as agents do, making the file and its directories when needed.
pub fn append(path: &Path, text: &str) {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("the transcript's directory");
    }
    let mut file: File = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all(text.as_bytes())
        .expect("the transcript takes a line");
}
