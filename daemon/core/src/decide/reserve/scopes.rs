//! What a budget covers: each key alone, any of them together, and budgets that overlap.

use proptest::prelude::*;

use super::bench::{Bench, NOON, ask, deny};
use super::*;
use crate::budget::{Caller, Scope, Span};
use crate::testing::observation;

/// The keys of a scope.
const KEYS: usize = 8;

fn list(scope: &mut Scope, key: usize) -> &mut Vec<String> {
    match key {
        0 => &mut scope.agents,
        1 => &mut scope.models,
        2 => &mut scope.projects,
        3 => &mut scope.sessions,
        4 => &mut scope.tools,
        5 => &mut scope.users,
        6 => &mut scope.providers,
        _ => &mut scope.tasks,
    }
}

/// A caller whose names end in 1 where the bit is set, otherwise in 0.
fn caller(bits: u8) -> Caller {
    let name = |key: usize| -> Name { format!("{key}-{}", bits >> key & 1).into() };
    Caller {
        agent: name(0),
        model: name(1),
        project: name(2),
        session: name(3),
        tool: name(4),
        user: name(5),
        provider: name(6),
        task: name(7),
    }
}

fn reserve(bench: &mut Bench, id: &str, bits: u8, tokens: u64) -> bool {
    let mut ask = ask(id, tokens);
    ask.caller = caller(bits);
    bench.reserve(ask).unwrap()
}

/// What a budget has posted and holds, in whosever window it is.
fn taken(bench: &Bench, budget: &str) -> (u64, u64) {
    let standing = bench.draft.state.budgets[budget].view(bench.now).standing;
    (standing.posted.tokens, standing.pending.tokens)
}

#[test]
fn every_key_restricts_what_is_asked_held_settled_and_recorded() {
    for key in 0..KEYS {
        let mut budget = deny("b", 100, Span::Day);
        list(&mut budget.scope, key).push(format!("{key}-1"));
        let mut bench = Bench::new(vec![budget]);
        assert!(reserve(&mut bench, "other", 0, 1_000), "{key} is another's");
        assert!(!reserve(&mut bench, "much", 0xff, 101), "{key} is covered");
        assert!(reserve(&mut bench, "mine", 0xff, 60));
        assert_eq!(taken(&bench, "b"), (0, 60), "{key}");
        bench.settle("other", 1_000).unwrap();
        bench.settle("mine", 50).unwrap();
        assert_eq!(taken(&bench, "b"), (50, 0), "{key}");
        // A call that nobody asked for.
        for (bits, tokens) in [(0, 7), (0xff, 3)] {
            let who = caller(bits);
            let mut seen = observation(&format!("call {bits}"), NOON);
            (seen.provider, seen.model, seen.task) = (who.provider, who.model, who.task);
            (seen.who.agent, seen.who.session, seen.who.project) = (who.agent, who.session, who.project);
            (seen.who.tool, seen.who.user) = (who.tool, who.user);
            seen.tokens = Tokens {
                input: tokens,
                ..Tokens::default()
            };
            bench.call(seen);
        }
        assert_eq!(taken(&bench, "b"), (53, 0), "{key}");
    }
}

/// Some keys of a budget's scope, and its limit.
fn scoped() -> impl Strategy<Value = (u8, u8, u64)> {
    (any::<u8>(), any::<u8>(), 1..200_u64)
}

proptest! {
    /// Budgets with any conjunctions, overlapping as they may: granted is what fits in all that cover the caller, and
    /// each of them holds it, and no other.
    #[test]
    fn overlapping_budgets_all_hold_what_they_cover(
        budgets in proptest::collection::vec(scoped(), 1..6),
        asked in proptest::collection::vec((any::<u8>(), 1..60_u64), 1..40),
    ) {
        let named = budgets.iter().enumerate().map(|(n, (keys, bits, limit))| {
            let mut budget = deny(&format!("b{n}"), *limit, Span::Day);
            for key in (0..KEYS).filter(|key| keys >> key & 1 == 1) {
                list(&mut budget.scope, key).push(format!("{key}-{}", bits >> key & 1));
            }
            budget
        });
        let mut bench = Bench::new(named.collect());
        let mut held = vec![0; budgets.len()];
        for (n, (bits, tokens)) in asked.iter().enumerate() {
            let covers = |(keys, wanted, _): &(u8, u8, u64)| (bits ^ wanted) & keys == 0;
            let fits = (budgets.iter().zip(&held)).all(|(b, held)| !covers(b) || held + tokens <= b.2);
            prop_assert_eq!(reserve(&mut bench, &format!("r{n}"), *bits, *tokens), fits);
            for (budget, held) in budgets.iter().zip(&mut held) {
                *held += if fits && covers(budget) { *tokens } else { 0 };
            }
            for (n, held) in held.iter().enumerate() {
                prop_assert_eq!(taken(&bench, &format!("b{n}")), (0, *held));
            }
        }
    }
}

#[test]
fn a_changed_limit_of_a_task_keeps_what_was_counted() {
    let mut budget = deny("b", 100, Span::Lifetime);
    budget.scope.tasks.push("7-1".to_owned());
    let mut bench = Bench::new(vec![budget.clone()]);
    assert!(reserve(&mut bench, "settled", 0xff, 60) && reserve(&mut bench, "open", 0xff, 10));
    bench.settle("settled", 60).unwrap();
    budget.limit_tokens = 80;
    bench.set(budget);
    assert_eq!(taken(&bench, "b"), (60, 10));
    assert!(!reserve(&mut bench, "more", 0xff, 11));
    assert!(reserve(&mut bench, "more", 0xff, 10));
}
