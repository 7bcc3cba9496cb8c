//! Asking before spending, in process: the question that hooks and budgets' callers wait for.

use std::hint::black_box;
use std::time::Instant;

use criterion::Criterion;
use tokio::runtime::Runtime;
use tokmon_core::Name;
use tokmon_core::budget::{Action, Ask, Budget, Caller, Scope, Span, Unreachable, Weights};
use tokmon_core::money::Pico;
use tokmon_core::tokens::Tokens;

use crate::sample::{Home, call};

/// Budgets that all cover the caller: the machine's, the agent's, the project's, …
const BUDGETS: usize = 4;
/// Calls that were made before, so that habits are known.
const CALLS: u64 = 1_000;
const QUESTIONS: usize = 100_000;

fn budget(number: usize) -> Budget {
    Budget {
        name: format!("b{number}").into(),
        scope: Scope::default(),
        limit_tokens: 1 << 40,
        limit_usd: Pico::ZERO,
        limit_requests: 0,
        window: [Span::Day, Span::Week, Span::Month, Span::Session][number % 4],
        timezone: "".into(),
        warn_percent: 80,
        critical_percent: 95,
        action: Action::Deny,
        weights: Weights::default(),
        shadow: false,
        unreachable: Unreachable::Allow,
        on_runaway: Default::default(),
        adjust: None,
    }
}

fn ask() -> Ask {
    let seen = call(CALLS - 1);
    Ask {
        id: Name::default(),
        caller: Caller {
            agent: seen.who.agent,
            session: seen.who.session,
            task: Name::default(),
            project: seen.who.project,
            user: seen.who.user,
            tool: Name::default(),
            provider: seen.provider,
            model: seen.model,
        },
        tokens: 0,
        usd: None,
        usage: Tokens {
            input: 30_000,
            ..Tokens::default()
        },
        appended: None,
        max_output: 0,
        strict: false,
        requests: 0,
        ttl_ms: 60_000,
    }
}

pub(crate) fn check(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let home = Home::new();
    let ledger = home.open();
    for n in 0..CALLS {
        runtime.block_on(ledger.record(vec![call(n)])).unwrap();
    }
    for number in 0..BUDGETS {
        runtime.block_on(ledger.set_budget(budget(number))).unwrap();
    }
    let ask = ask();
    let mut waits: Vec<_> = (0..QUESTIONS)
        .map(|_| {
            let ask = ask.clone();
            let begin = Instant::now();
            black_box(ledger.check(ask)).unwrap();
            begin.elapsed()
        })
        .collect();
    waits.sort_unstable();
    println!(
        "check in process, {BUDGETS} budgets: p50 {:?}, p99 {:?} (goal: p50 ≤ 2 µs)",
        waits[QUESTIONS / 2],
        waits[QUESTIONS * 99 / 100]
    );
    c.bench_function("check in process", |b| {
        b.iter(|| black_box(ledger.check(ask.clone())).unwrap());
    });
}
