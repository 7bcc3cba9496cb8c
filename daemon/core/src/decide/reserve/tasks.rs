//! Shares of tasks: any interleaving of allocate, use, complete, calls of others, crash and replay. What is granted never
//! eats what is kept for a task that goes first, what a task has left is there for it, and a finished one gives back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bench::{Bench, DAY, HOUR, ask, deny};
use super::*;
use crate::budget::{Budget, Span};
use crate::decide::Allocated;
use crate::task::{Allocation, Task};

const LIMITS: [(&str, u64, Span); 3] = [
    ("day", 150, Span::Day),
    ("hard", 400, Span::Lifetime),
    ("each", 300, Span::Session),
];

fn budgets() -> Vec<Budget> {
    let of_session = |(name, limit, window): (&str, u64, Span)| {
        let mut budget = deny(name, limit, window);
        if window != Span::Session {
            budget.scope.sessions.push("s".to_owned());
        }
        budget
    };
    LIMITS.map(of_session).to_vec()
}

fn share(task: &str, priority: u32, tokens: u64) -> Allocation {
    Allocation {
        agent: "a".into(),
        session: "s".into(),
        task: task.into(),
        priority,
        tokens,
        cost: Pico::ZERO,
    }
}

fn allocate(bench: &mut Bench, share: Allocation) -> Result<bool, Refusal> {
    bench.sweep();
    match bench.draft.allocate(share, bench.now)? {
        Allocated::Known => Ok(true),
        Allocated::Denied(_) => Ok(false),
        Allocated::Written(body) => {
            bench.push(body);
            Ok(true)
        }
    }
}

fn complete(bench: &mut Bench, task: &str) {
    if let Some(body) = bench
        .draft
        .complete_task(&"s".into(), &task.into())
        .ok()
        .flatten()
    {
        bench.push(body);
    }
}

fn of_task(id: &str, task: &str, tokens: u64) -> Ask {
    let mut ask = ask(id, tokens);
    ask.caller.task = task.into();
    ask
}

fn task<'a>(bench: &'a Bench, name: &str) -> &'a Task {
    bench.draft.state.tasks.get("s", name).unwrap()
}

#[test]
fn a_low_task_cannot_eat_the_share_of_a_higher_one_and_what_is_left_goes_back() {
    // D3
    let mut bench = Bench::new(budgets());
    assert!(allocate(&mut bench, share("high", 8, 100)).unwrap());
    assert!(allocate(&mut bench, share("low", 2, 40)).unwrap());
    // The share of its own, and what is free, but no more.
    assert!(!bench.reserve(of_task("l", "low", 51)).unwrap());
    assert!(bench.reserve(of_task("l", "low", 50)).unwrap());
    let decision = bench.decided(of_task("", "low", 1));
    let binding = decision.binding.unwrap();
    assert_eq!(
        (&*binding.budget, binding.kept, binding.available),
        ("day", 100, 0)
    );
    assert_eq!(binding.reason(), "quota_exceeded");
    assert!(
        !bench.reserve(ask("nobody", 1)).unwrap(),
        "who has no share goes last"
    );
    // The high one has what was kept for it.
    assert!(bench.reserve(of_task("h", "high", 60)).unwrap());
    bench.settle("h", 30).unwrap();
    assert_eq!(
        (
            task(&bench, "high").used.tokens,
            task(&bench, "high").left().tokens
        ),
        (30, 70)
    );
    // Its end gives back what it did not use.
    complete(&mut bench, "high");
    assert!(bench.reserve(ask("nobody", 70)).unwrap());
    assert!(!bench.reserve(ask("more", 1)).unwrap());
    assert!(matches!(
        allocate(&mut bench, share("high", 8, 1)),
        Err(Refusal::Conflict { .. })
    ));
}

#[test]
fn a_high_task_may_use_what_is_kept_for_lower_ones() {
    let mut bench = Bench::new(budgets());
    assert!(allocate(&mut bench, share("low", 2, 100)).unwrap());
    assert!(
        !allocate(&mut bench, share("same", 2, 51)).unwrap(),
        "not from its like"
    );
    assert!(allocate(&mut bench, share("high", 8, 150)).unwrap());
    assert!(bench.reserve(of_task("h", "high", 150)).unwrap());
    assert!(!bench.reserve(of_task("l", "low", 1)).unwrap());
}

#[test]
fn what_a_share_cannot_be_is_named() {
    let mut bench = Bench::new(budgets());
    let mut other = share("t", 1, 1);
    other.session = "without".into();
    assert_eq!(
        allocate(&mut bench, other),
        Ok(true),
        "the budget of each session"
    );
    let mut bench = Bench::new(vec![deny("all", 10, Span::Day)]);
    assert!(matches!(
        allocate(&mut bench, share("t", 1, 1)),
        Err(Refusal::NotFound { .. })
    ));
    for (wrong, field) in [
        (share("", 1, 1), "task"),
        (share("t", 10, 1), "priority"),
        (share("t", 1, 0), "tokens"),
        (share("t", 1, u64::MAX), "tokens"),
        (share(&"t".repeat(2_000), 1, 1), "task"),
    ] {
        let Err(Refusal::Invalid { field: named, .. }) = allocate(&mut bench, wrong) else {
            panic!("{field} was accepted");
        };
        assert_eq!(named, field);
    }
}

#[test]
fn a_share_is_kept_in_the_next_window_too() {
    let mut bench = Bench::new(budgets());
    assert!(allocate(&mut bench, share("t", 5, 100)).unwrap());
    bench.now += DAY;
    assert!(!bench.reserve(ask("r", 51)).unwrap());
    assert!(bench.reserve(ask("r", 50)).unwrap());
}

#[derive(Debug, Clone)]
enum Step {
    Allocate(u8, u32, u64),
    Complete(u8),
    Reserve(u8, u8, u64),
    Settle(u8, u64),
    Release(u8),
    Wait(i64),
    Save,
    Crash(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8, 0..10_u32, 1..90_u64).prop_map(|(t, p, n)| Step::Allocate(t, p, n)),
        1 => (0..4_u8).prop_map(Step::Complete),
        5 => (0..12_u8, 0..5_u8, 1..60_u64).prop_map(|(id, t, n)| Step::Reserve(id, t, n)),
        4 => (0..12_u8, 0..60_u64).prop_map(|(id, n)| Step::Settle(id, n)),
        1 => (0..12_u8).prop_map(Step::Release),
        1 => (1..20 * HOUR).prop_map(Step::Wait),
        1 => Just(Step::Save),
        1 => any::<bool>().prop_map(Step::Crash),
    ]
}

/// What every task's calls used and hold, by reservation.
#[derive(Default)]
struct Model {
    open: BTreeMap<String, (String, u64)>,
    used: BTreeMap<String, u64>,
}

/// What is kept from somebody, told apart from how the rule tells it.
fn kept_from(bench: &Bench, asker: &str) -> u64 {
    let tasks: Vec<&Task> = bench
        .draft
        .state
        .tasks
        .of(Some("s"))
        .filter(|t| t.is_open())
        .collect();
    let own = tasks.iter().find(|t| &*t.allocation.task == asker);
    let first = |t: &&&Task| {
        &*t.allocation.task != asker && own.is_none_or(|own| t.allocation.priority >= own.allocation.priority)
    };
    let left = |t: &&Task| {
        t.allocation
            .tokens
            .saturating_sub(t.used.tokens + t.pending.tokens)
    };
    tasks.iter().filter(first).map(left).sum()
}

fn taken(bench: &Bench, budget: &str) -> u64 {
    let (posted, pending, overdraft) = bench.stands(budget);
    assert_eq!(overdraft, 0, "{budget}");
    posted + pending
}

fn run(steps: &[Step]) {
    let (mut bench, mut model, mut saved) = (Bench::new(budgets()), Model::default(), None);
    for step in steps {
        let name = |id: &u8| format!("r{id}");
        let task_name = |t: &u8| if *t == 4 { String::new() } else { format!("t{t}") };
        bench.sweep();
        match step {
            Step::Allocate(t, priority, tokens) => {
                drop(allocate(&mut bench, share(&task_name(t), *priority, *tokens)));
            }
            Step::Complete(t) => complete(&mut bench, &task_name(t)),
            Step::Reserve(id, t, tokens) => {
                let (id, t) = (name(id), task_name(t));
                if bench.draft.reservations.get(&id) != Held::Unknown {
                    continue;
                }
                let kept = kept_from(&bench, &t);
                let fits =
                    |(budget, limit, _): &(&str, u64, Span)| taken(&bench, budget) + kept + tokens <= *limit;
                let fits = LIMITS.iter().all(fits);
                assert_eq!(bench.reserve(of_task(&id, &t, *tokens)), Ok(fits));
                if fits {
                    model.open.insert(id, (t, *tokens));
                }
            }
            Step::Settle(id, tokens) => {
                let id = name(id);
                if let Held::Open(_) = bench.draft.reservations.get(&id) {
                    let (t, held) = model.open.remove(&id).unwrap();
                    let tokens = (*tokens).min(held);
                    bench.settle(&id, tokens).unwrap();
                    if bench.draft.state.tasks.get("s", &t).is_some() {
                        *model.used.entry(t).or_default() += tokens;
                    }
                }
            }
            Step::Release(id) => drop(bench.release(&name(id))),
            Step::Wait(ms) => bench.now += ms,
            Step::Save => saved = Some((bench.draft.save(), bench.log.len())),
            Step::Crash(from_start) => {
                let rules = bench.draft.rules().clone();
                let (mut draft, after) = match saved.as_ref().filter(|_| !from_start) {
                    Some((bytes, after)) => (Draft::load(rules, bytes).unwrap(), *after),
                    None => (Draft::new(rules), 0),
                };
                for (entry, previous) in &bench.log[after..] {
                    draft.replay(entry, previous.as_ref());
                }
                assert_eq!(draft.state.tasks, bench.draft.state.tasks);
                bench.draft = draft;
            }
        }
        bench.sweep();
        let reservations = &bench.draft.reservations;
        model
            .open
            .retain(|id, _| matches!(reservations.get(id), Held::Open(_)));
        for (budget, limit, _) in LIMITS {
            assert!(taken(&bench, budget) <= limit);
        }
        for task in bench.draft.state.tasks.of(None) {
            let name = &*task.allocation.task;
            let held: u64 = model
                .open
                .values()
                .filter(|(t, _)| t == name)
                .map(|(_, n)| n)
                .sum();
            let used = model.used.get(name).copied().unwrap_or_default();
            assert_eq!((task.used.tokens, task.pending.tokens), (used, held), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_interleaving_eats_a_share_that_goes_first(steps in proptest::collection::vec(step(), 1..100)) {
        run(&steps);
    }
}
