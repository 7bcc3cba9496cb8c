//! Calls to append: for the conformance suite, for drills and for benchmarks.

use std::sync::Arc;

use tokmon_core::Name;
use tokmon_core::entry::{AmendReason, Body, Entry, Finding, Record, Rule};
use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::observation::{Attribution, Observation, Provenance};
use tokmon_core::place::Place;
use tokmon_core::tokens::Tokens;

use super::{Batch, Staged};

/// 2026-01-05, a Monday.
pub const START_MS: i64 = 1_767_571_200_000;

/// A call with realistic figures that depend on `n` only.
pub fn call(n: u64, at_ms: i64) -> Record {
    let session = n / 100;
    let text = |prefix: &str, id: u64| Name::from(format!("{prefix}-{id}"));
    let project = Name::from(format!("/home/someone/projects/project-{}", session % 40));
    let seen = Observation {
        key: Key::new(Key::day_of(at_ms), &["sample", &n.to_string()]),
        at_ms,
        who: Attribution {
            agent: if session.is_multiple_of(3) {
                "codex"
            } else {
                "claude-code"
            }
            .into(),
            session: format!("0a5e91f2-7c1d-4b4e-9a52-{session:012x}").into(),
            project: project.clone(),
            user: "someone".into(),
            tool: if n.is_multiple_of(11) {
                "".into()
            } else {
                text("Tool", n % 10)
            },
            context: (n % 50 == 7).then(|| "a note".into()),
        },
        provider: "anthropic".into(),
        model: text("claude-sonnet-4", session % 3),
        tokens: Tokens {
            input: 3 + n % 7,
            output: 200 + n * 37 % 1800,
            cache_read: 20_000 + n * 911 % 90_000,
            cache_write_5m: n * 131 % 5000,
            ..Tokens::default()
        },
        reported_cost: n.is_multiple_of(5).then(|| Pico(i128::from(n) * 1_000_003)),
        failed: n.is_multiple_of(97),
        line_hash: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        request_hash: n.wrapping_mul(0xff51_afd7_ed55_8ccd),
        source: Provenance {
            kind: "claude-code-transcript".into(),
            path: format!(
                "/home/someone/.claude/projects/project-{}/0a5e91f2-{session:012x}.jsonl",
                session % 40
            )
            .into(),
            offset: n % 100 * 5_123,
            lines: 2,
        },
        request_id: if n.is_multiple_of(4) {
            text("req_011CSample", n)
        } else {
            "".into()
        },
        place: (n.is_multiple_of(4)).then(|| {
            Arc::new(Place {
                branch: text("branch", session % 5),
                commit: format!("{:040x}", session % 7).into(),
                subagent: if n.is_multiple_of(8) { "" } else { "Explore" }.into(),
                ..Place::default()
            })
        }),
        ..Observation::default()
    };
    let findings = (n % 40 == 3).then(|| Finding {
        rule: Rule::ALL[(n % 5) as usize],
        figure: n,
        wasted_tokens: n * 3,
        wasted_cost: Pico(i128::from(n) * 7_001),
    });
    Record {
        owner_at_ms: at_ms - i64::from(n.is_multiple_of(9)),
        owner_sidechain: n.is_multiple_of(13),
        cost: (!n.is_multiple_of(31)).then(|| Pico(i128::from(n % 1000) * 1_234_567_891)),
        waste: findings.into_iter().collect(),
        heard: Vec::new(),
        seen,
    }
}

/// An entry that brings a new call.
pub fn usage(seq: u64, record: Record) -> Staged {
    Staged {
        entry: Entry {
            seq,
            recorded_at_ms: START_MS + 1_000_000,
            by: None,
            body: Body::Usage(Box::new(record)),
        },
        previous: None,
    }
}

/// An entry that brings a better record of a call.
pub fn amend(seq: u64, replaces: u64, previous: Record, record: Record) -> Staged {
    Staged {
        entry: Entry {
            seq,
            recorded_at_ms: START_MS + 2_000_000,
            by: None,
            body: Body::Amend {
                replaces,
                reason: AmendReason::Better,
                record: Box::new(record),
            },
        },
        previous: Some(Box::new(previous)),
    }
}

/// A batch of nothing but entries.
pub fn batch(entries: Vec<Staged>) -> Batch {
    Batch {
        entries,
        ..Batch::default()
    }
}

/// A batch of `count` new calls after `last_seq`, a minute apart.
pub fn calls(last_seq: u64, count: u64) -> Batch {
    let seqs = last_seq + 1..=last_seq + count;
    let minute = |seq: u64| START_MS + i64::try_from(seq).unwrap_or(0) * 60_000;
    batch(seqs.map(|seq| usage(seq, call(seq, minute(seq)))).collect())
}
