//! Files as agents write them, below a home directory, with what they come to.

use tokmon_tests::env::Env;

/// An agent that has worked.
pub(super) struct Agent {
    pub(super) name: &'static str,
    /// Path below the home directory, and text.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Requests, input, output, cache read and cache write.
    pub(super) figures: [u64; 5],
}

pub(super) const AGENTS: &[Agent] = &[
    Agent {
        name: "gemini-cli",
        files: &[
            (
                ".gemini/tmp/app/chats/session-1.jsonl",
                concat!(
                    r#"{"sessionId":"g1","projectHash":"h","startTime":"2026-11-20T09:00:00.000Z","kind":"main"}"#,
                    "\n",
                    r#"{"id":"m1","timestamp":"2026-11-20T09:01:00.000Z","type":"gemini","model":"gemini-2.5-pro","tokens":{"input":900,"output":5,"cached":300,"thoughts":0,"tool":0,"total":905}}"#,
                    "\n",
                    r#"{"id":"m1","timestamp":"2026-11-20T09:01:00.000Z","type":"gemini","model":"gemini-2.5-pro","tokens":{"input":900,"output":120,"cached":300,"thoughts":60,"tool":0,"total":1080}}"#,
                    "\n",
                ),
            ),
            (
                ".gemini/tmp/app/chats/session-2.json",
                r#"{"sessionId":"g2","messages":[{"id":"m1","timestamp":"2026-11-20T09:02:00.000Z","type":"gemini","model":"gemini-2.5-pro","tokens":{"input":10,"output":2,"cached":0,"thoughts":1,"tool":0,"total":13}}]}"#,
            ),
        ],
        figures: [2, 610, 183, 300, 0],
    },
    Agent {
        name: "qwen-code",
        files: &[(
            ".qwen/projects/app/chats/q1.jsonl",
            concat!(
                r#"{"uuid":"u1","sessionId":"q1","timestamp":"2026-11-20T09:05:00.000Z","type":"assistant","model":"qwen3-coder-plus","usageMetadata":{"promptTokenCount":1500,"cachedContentTokenCount":1000,"candidatesTokenCount":70,"thoughtsTokenCount":0,"totalTokenCount":1570}}"#,
                "\n",
            ),
        )],
        figures: [1, 500, 70, 1000, 0],
    },
    Agent {
        name: "kimi-cli",
        files: &[(
            ".kimi/sessions/0123abcd/k1/wire.jsonl",
            concat!(
                r#"{"timestamp":1795166640.5,"message":{"type":"StatusUpdate","payload":{"message_id":"k1","token_usage":{"input_other":200,"output":90,"input_cache_read":3000,"input_cache_creation":0}}}}"#,
                "\n",
            ),
        )],
        figures: [1, 200, 90, 3000, 0],
    },
    Agent {
        name: "kimi-code",
        files: &[(
            ".kimi-code/sessions/wd_app/kc1/agents/main/wire.jsonl",
            concat!(
                r#"{"type":"llm.request","time":1795166640000,"model":"kimi-k2.5"}"#,
                "\n",
                r#"{"type":"usage.record","time":1795166641000,"usage":{"inputOther":20,"output":9,"inputCacheRead":300,"inputCacheCreation":4}}"#,
                "\n",
            ),
        )],
        figures: [1, 20, 9, 300, 4],
    },
    Agent {
        name: "amp",
        files: &[(
            ".local/share/amp/threads/T-1.json",
            r#"{"id":"T-1","messages":[{"messageId":3,"role":"assistant","usage":{"model":"claude-opus-4-8","timestamp":"2026-11-20T09:02:00Z","inputTokens":10,"outputTokens":210,"cacheReadInputTokens":5000,"cacheCreationInputTokens":400}}],"usageLedger":{"events":[{"id":"e1","timestamp":"2026-11-20T09:02:00Z","model":"claude-opus-4-8","tokens":{"input":10,"output":210},"toMessageId":3}]}}"#,
        )],
        figures: [1, 10, 210, 5000, 400],
    },
    Agent {
        name: "droid",
        files: &[(
            ".factory/sessions/-app/d1.settings.json",
            r#"{"model":"claude-opus-4-8","providerLock":"anthropic","providerLockTimestamp":"2026-11-20T09:00:00Z","tokenUsage":{"inputTokens":300,"outputTokens":900,"cacheCreationTokens":2000,"cacheReadTokens":80000,"thinkingTokens":50}}"#,
        )],
        figures: [1, 300, 900, 80000, 2000],
    },
    Agent {
        name: "pi",
        files: &[(
            ".pi/agent/sessions/--app--/t_p1.jsonl",
            concat!(
                r#"{"type":"session","version":3,"id":"p1","cwd":"/app"}"#,
                "\n",
                r#"{"type":"message","id":"a1","timestamp":"2026-11-20T09:06:00.000Z","message":{"role":"assistant","provider":"anthropic","model":"claude-opus-4-8","timestamp":1795166760000,"usage":{"input":8,"output":120,"cacheRead":6000,"cacheWrite":300}}}"#,
                "\n",
            ),
        )],
        figures: [1, 8, 120, 6000, 300],
    },
    Agent {
        name: "copilot-cli",
        files: &[
            (
                ".copilot/session-state/cp1/events.jsonl",
                concat!(
                    r#"{"type":"session.start","id":"e0","timestamp":"2026-11-20T09:00:00Z","data":{"sessionId":"cp1","context":{"cwd":"/app"}}}"#,
                    "\n",
                    r#"{"type":"session.shutdown","id":"e1","timestamp":"2026-11-20T09:10:00Z","data":{"modelMetrics":{"gpt-5-mini":{"usage":{"inputTokens":100,"outputTokens":20,"cacheReadTokens":60,"cacheWriteTokens":10,"reasoningTokens":5}}}}}"#,
                    "\n",
                    r#"{"type":"session.shutdown","id":"e2","timestamp":"2026-11-20T09:20:00Z","data":{"modelMetrics":{"gpt-5-mini":{"usage":{"inputTokens":150,"outputTokens":30,"cacheReadTokens":60,"cacheWriteTokens":10,"reasoningTokens":5}}}}}"#,
                    "\n",
                ),
            ),
            (
                ".copilot/otel/spans.jsonl",
                concat!(
                    r#"{"hrTime":[1795166579,0],"spanContext":{"traceId":"a1","spanId":"b1"},"attributes":{"event.name":"copilot_chat.agent.turn","gen_ai.conversation.id":"c1","gen_ai.usage.input_tokens":2000,"gen_ai.usage.output_tokens":80}}"#,
                    "\n",
                    r#"{"type":"span","name":"chat gpt-5.5","traceId":"a1","spanId":"b1","endTime":[1795166580,0],"attributes":{"gen_ai.operation.name":"chat","gen_ai.conversation.id":"c1","gen_ai.response.id":"r1","gen_ai.response.model":"gpt-5.5","gen_ai.usage.input_tokens":2000,"gen_ai.usage.cache_read.input_tokens":1500,"gen_ai.usage.output_tokens":80,"gen_ai.usage.reasoning.output_tokens":10}}"#,
                    "\n",
                ),
            ),
        ],
        figures: [3, 580, 110, 1560, 10],
    },
    Agent {
        name: "continue",
        files: &[(
            ".continue/sessions/ct1.json",
            r#"{"sessionId":"ct1","workspaceDirectory":"/app","chatModelTitle":"gpt-5","history":[],"usage":{"promptTokens":1000,"completionTokens":50,"promptTokensDetails":{"cachedTokens":600,"cacheWriteTokens":100}}}"#,
        )],
        figures: [1, 300, 50, 600, 100],
    },
    Agent {
        name: "mine",
        files: &[(
            "logs/mine.jsonl",
            concat!(
                r#"{"at":"2026-11-20T09:07:00Z","call":"c1","llm":"gpt-5","use":{"in":50,"cached":20,"out":7}}"#,
                "\n",
                r#"{"at":"2026-11-20T09:07:01Z","event":"tool"}"#,
                "\n",
            ),
        )],
        figures: [1, 30, 7, 20, 0],
    },
];

/// Writes a file below the home directory.
pub(super) fn write(env: &Env, path: &str, text: &str) {
    let path = env.path("home").join(path);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
    std::fs::write(path, text).expect("a file");
}

pub(super) fn write_all(env: &Env) {
    for agent in AGENTS {
        for (path, text) in agent.files {
            write(env, path, text);
        }
    }
}

/// Where a copy of a file would lie that the agent's files are found by, too: another project or directory, with the
/// session's own name.
pub(super) fn copy_of(path: &str) -> String {
    for (from, to) in [
        ("tmp/app/", "tmp/copy/"),
        ("projects/app/", "projects/copy/"),
        ("sessions/0123abcd/", "sessions/cafe/"),
        ("sessions/wd_app/", "sessions/wd_copy/"),
        ("T-1.json", "T-copy.json"),
        ("sessions/-app/", "sessions/-copy/"),
        ("sessions/--app--/", "sessions/--copy--/"),
        ("logs/mine", "logs/old/mine"),
        ("session-state/cp1/", "session-state/copy/"),
        ("spans.jsonl", "copy.jsonl"),
        ("ct1.json", "copy.json"),
    ] {
        if path.contains(from) {
            return path.replace(from, to);
        }
    }
    panic!("no place for a copy of {path}");
}

/// What describes the log of a program of one's own.
pub(super) fn configuration(env: &Env) -> String {
    format!(
        "[[capture.logs]]\nagent = \"mine\"\npath = \"{}\"\ninput_includes_cache = true\n\
         fields = {{ input = \"/use/in\", output = \"use.out\", cache_read = \"/use/cached\", model = \"llm\", \
         time = \"at\", id = \"call\" }}\n",
        env.path("home/logs").display()
    )
}
