//! Records as a year of several agents would leave them, and filling a ledger with them over the socket.

use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use tokmon_client::{Client, v1};

const YEAR_MS: u64 = 365 * 24 * 3_600_000;
const AGENTS: [&str; 3] = ["claude-code", "codex", "cursor"];
const MODELS: [(&str, &str); 4] = [
    ("anthropic", "claude-sonnet-4-5-20250929"),
    ("anthropic", "claude-opus-4-5-20251101"),
    ("anthropic", "claude-haiku-4-5-20251001"),
    ("openai", "gpt-5"),
];
const TOOLS: [&str; 6] = ["", "Read", "Bash", "Edit", "Grep", "Task"];
/// Calls of one session.
const PER_SESSION: u64 = 100;

/// Calls spread over the year that ends now.
#[derive(Clone, Copy)]
pub(crate) struct Year {
    begin_ms: u64,
    step_ms: f64,
}

impl Year {
    /// So many calls in equal steps.
    pub(crate) fn of(calls: u64) -> Year {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("a clock after 1970");
        let end = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Year {
            begin_ms: end - YEAR_MS,
            step_ms: YEAR_MS as f64 / calls.max(1) as f64,
        }
    }

    /// The n-th call under a key of the caller's, which is nowhere near the keys of the same day.
    pub(crate) fn keyed(self, n: u64) -> v1::RecordRequest {
        let mut request = self.call(n);
        if let Some(usage) = &mut request.usage {
            usage.idempotency_key = format!("bench-{n}");
        }
        request
    }

    /// The n-th call: a hundred calls a session, a session at a time, in 20 projects. Without a key of its own, so
    /// that the ledger gives it one beside those of the same day.
    pub(crate) fn call(self, n: u64) -> v1::RecordRequest {
        let session = n / PER_SESSION;
        let (provider, model) = MODELS[at(MODELS.len(), session / 7 + n % 11 / 10)];
        let at_ms = self.begin_ms + (n as f64 * self.step_ms) as u64;
        v1::RecordRequest {
            usage: Some(v1::Usage {
                agent: AGENTS[at(AGENTS.len(), session)].to_owned(),
                session: format!("5b0c4a7e-0000-4000-8000-{session:012}"),
                project: format!("/home/me/work/project-{}", session / 3 % 20),
                user: "me".to_owned(),
                provider: provider.to_owned(),
                model: model.to_owned(),
                tool: TOOLS[at(TOOLS.len(), n * 7 / 3)].to_owned(),
                tokens: Some(v1::Tokens {
                    input: n % 37,
                    output: 100 + n % 900,
                    cache_read: 20_000 + n % 50_000,
                    cache_write_5m: n % 3_000,
                    ..v1::Tokens::default()
                }),
                at_ms: i64::try_from(at_ms).unwrap_or(0),
                confidence: v1::Confidence::Reported.into(),
                ..v1::Usage::default()
            }),
        }
    }
}

fn at(len: usize, n: u64) -> usize {
    usize::try_from(n % len as u64).unwrap_or(0)
}

/// Sends these calls in one stream; every one must be new. How long until the answer came.
pub(crate) async fn fill(
    client: &Client,
    range: Range<u64>,
    call: impl Fn(u64) -> v1::RecordRequest + Send + 'static,
) -> Duration {
    let wanted = range.end - range.start;
    let begin = Instant::now();
    let answer = client
        .record_stream(tokio_stream::iter(range.map(call)))
        .await
        .unwrap_or_else(|error| panic!("the stream of records failed: {error}"));
    let spent = begin.elapsed();
    assert_eq!(
        (answer.added, answer.refused),
        (wanted, 0),
        "every record is new: {answer:?}"
    );
    spent
}
