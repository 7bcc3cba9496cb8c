//! When two accounts are one call, and which of them counts.

use proptest::prelude::*;

use super::*;
use crate::id::Key;
use crate::money::Pico;
use crate::testing::observation;

fn account(kind: &str, key: &str, at_ms: i64) -> Observation {
    let mut seen = observation(key, at_ms);
    seen.source.kind = kind.into();
    seen
}

fn record(seen: Observation) -> Record {
    let candidate = Candidate::new(seen);
    Record {
        owner_at_ms: candidate.owner_at_ms,
        owner_sidechain: candidate.owner_sidechain,
        cost: None,
        waste: Vec::new(),
        seen: candidate.seen,
        heard: Vec::new(),
    }
}

/// What a record says after one more account.
fn heard(known: &Record, new: Observation) -> Record {
    let (heard, counted, _) = hear(known, Candidate::new(new));
    Record {
        owner_at_ms: counted.owner_at_ms,
        owner_sidechain: counted.owner_sidechain,
        seen: counted.seen,
        heard,
        ..known.clone()
    }
}

const AT: i64 = 1_000_000;

#[test]
fn figures_or_ids_make_one_call_and_never_within_one_kind() {
    let known = record(account("claude-code-transcript", "a", AT));
    type Change = fn(&mut Observation);
    let cases: [(&str, &str, Change, bool); 18] = [
        ("the same", "claude-code-otel", |_| {}, true),
        ("its own kind", "codex-rollout", |_| {}, false),
        (
            "another session",
            "claude-code-otel",
            |s| s.who.session = "t".into(),
            false,
        ),
        (
            "no session",
            "claude-code-otel",
            |s| s.who.session = "".into(),
            true,
        ),
        ("another agent", "x-otel", |s| s.who.agent = "codex".into(), false),
        ("no agent", "otel", |s| s.who.agent = "".into(), true),
        ("the same through the API", "api", |_| {}, false),
        (
            "another model",
            "claude-code-otel",
            |s| s.model = "claude-opus-4-5".into(),
            false,
        ),
        (
            "other output",
            "claude-code-otel",
            |s| s.tokens.output += 1,
            false,
        ),
        ("other input", "claude-code-otel", |s| s.tokens.input += 1, false),
        (
            "a cache bucket that one knows",
            "claude-code-otel",
            |s| s.tokens.cache_read = 7,
            true,
        ),
        (
            "two minutes later",
            "claude-code-otel",
            |s| s.at_ms += NEAR_MS,
            true,
        ),
        (
            "more than that",
            "claude-code-otel",
            |s| s.at_ms += NEAR_MS + 1,
            false,
        ),
        (
            "a model that logs late",
            "mcp",
            |s| s.at_ms += NEAR_LOGGED_MS,
            true,
        ),
        (
            "an MCP client's session",
            "mcp",
            |s| s.who.session = "other".into(),
            true,
        ),
        (
            "an embedding",
            "otel",
            |s| s.kind = crate::observation::CallKind::Embedding,
            false,
        ),
        ("nothing used", "otel", |s| s.tokens = Tokens::default(), false),
        (
            "the whole prompt as input",
            "mcp",
            |s| s.tokens.input = 1_500,
            true,
        ),
    ];
    for (what, kind, change, expected) in cases {
        let mut new = account(kind, "b", AT);
        change(&mut new);
        assert_eq!(is_same_call(&known, &new), expected, "{what}");
    }
}

#[test]
fn an_id_that_both_know_decides() {
    let mut known = account("claude-code-transcript", "a", AT);
    known.request_id = "req_1".into();
    let known = record(known);
    let mut other = account("claude-code-otel", "b", AT + 3_600_000);
    other.tokens.output = 1;
    other.request_id = "req_1".into();
    assert!(is_same_call(&known, &other), "the id, whatever the figures");
    other = account("claude-code-otel", "b", AT);
    other.request_id = "req_2".into();
    assert!(!is_same_call(&known, &other), "another request of equal figures");
    other.request_id = "resp_22222".into();
    assert!(is_same_call(&known, &other), "an id of another form says nothing");
    other.source.kind = "codex-rollout".into();
    other.request_id = "req_1".into();
    assert!(!is_same_call(&known, &other), "never within one kind");
}

#[test]
fn cached_prompts_are_compared_as_far_as_both_know_them() {
    let tokens = |input, cache_read, cache_write_5m| Tokens {
        input,
        cache_read,
        cache_write_5m,
        output: 5,
        ..Tokens::default()
    };
    for (a, b, expected) in [
        (tokens(10, 90, 0), tokens(100, 0, 0), true),
        (tokens(10, 90, 0), tokens(10, 0, 0), true),
        (tokens(10, 90, 20), tokens(10, 90, 0), false),
        (tokens(10, 90, 0), tokens(10, 80, 0), false),
        (tokens(10, 90, 0), tokens(90, 10, 0), false),
    ] {
        assert_eq!(same_tokens(&a, &b), expected, "{a:?} {b:?}");
        assert_eq!(same_tokens(&b, &a), expected, "{b:?} {a:?}");
        let (mut x, mut y) = (account("api", "a", AT), account("mcp", "b", AT));
        (x.tokens, y.tokens) = (a, b);
        if expected {
            assert!(
                prints(&x).iter().any(|print| prints(&y).contains(print)),
                "they can be found"
            );
        }
    }
}

#[test]
fn what_only_telemetry_shows_is_unlogged_once_a_file_had_time() {
    let telemetry = record(account("codex-otel", "a", AT));
    assert!(!telemetry.is_unlogged(AT + UNLOGGED_AFTER_MS - 1));
    assert!(telemetry.is_unlogged(AT + UNLOGGED_AFTER_MS));
    let both = heard(&telemetry, account("codex-rollout", "b", AT));
    assert!(!both.is_unlogged(i64::MAX));
    assert!(!record(account("api", "a", AT)).is_unlogged(i64::MAX));
}

#[test]
fn the_surer_account_counts_then_the_fuller_one_and_names_come_from_the_file() {
    let mut partial = account("claude-code-transcript", "a", AT);
    partial.tokens.output = 3;
    partial.who.project = "/repository".into();
    let mut telemetry = account("claude-code-otel", "b", AT + 5);
    telemetry.tokens.output = 900;
    telemetry.who.project = "".into();
    telemetry.reported_cost = Some(Pico(7));
    let got = heard(&record(partial.clone()), telemetry.clone());
    assert_eq!(
        (got.seen.tokens.output, &*got.seen.who.project),
        (900, "/repository")
    );
    assert_eq!(got.seen.key, partial.key);
    // A model's own idea of what it used counts only where nobody else knows.
    let mut logged = account("mcp", "c", AT);
    logged.tokens.output = 5_000;
    assert_eq!(heard(&got, logged.clone()).seen.tokens.output, 900);
    let mut estimated = telemetry;
    estimated.confidence = Confidence::Estimated;
    assert_eq!(heard(&record(logged), estimated).seen.tokens.output, 5_000);
}

proptest! {
    #[test]
    fn the_order_of_the_accounts_changes_nothing(
        outputs in prop::array::uniform5(0_u64..3),
        partials in prop::collection::vec((0_usize..5, 0_u64..5, 0_i64..3), 0..6),
        order in any::<u64>(),
    ) {
        let kinds = ["claude-code-transcript", "claude-code-otel", "api", "mcp", "claude-code-statusline"];
        let one = |kind: usize, output: u64, at: i64| {
            let mut seen = account(kinds[kind], kinds[kind], AT + at);
            seen.tokens.output = output;
            seen.line_hash = output;
            seen.source.path = "f".into();
            seen.source.offset = output * 10 + at.unsigned_abs();
            seen.source.lines = 0;
            seen
        };
        let mut all: Vec<Observation> = (0..5).map(|kind| one(kind, outputs[kind], 0)).collect();
        all.extend(partials.iter().map(|&(kind, output, at)| one(kind, output, at)));
        let of = |list: &[Observation]| {
            let mut known = record(list[0].clone());
            for seen in &list[1..] {
                known = heard(&known, seen.clone());
            }
            known.seen.key = Key::default();
            known
        };
        let mut shuffled = all.clone();
        let mut state = order | 1;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        prop_assert_eq!(of(&all), of(&shuffled));
    }
}
