//! Examples for the counters of budgets.

use super::*;
use crate::budget::{Action, Scope, Unreachable};
use crate::limits::{BUDGET_SESSION_LIFE_MS, MAX_BUDGET_SESSIONS};
use crate::testing::observation;

const NOON: i64 = 1_795_176_000_000; // 2026-11-20T12:00:00Z
const DAY: i64 = 24 * HOUR_MS;

fn record(at_ms: i64, tokens: u64) -> Record {
    let mut seen = observation("call", at_ms);
    seen.tokens.input = tokens;
    seen.tokens.output = 0;
    Record {
        owner_at_ms: at_ms,
        owner_sidechain: false,
        cost: Some(Pico(i128::from(tokens))),
        waste: Vec::new(),
        heard: Vec::new(),
        seen,
    }
}

fn account(window: Span) -> Account {
    let budget = Budget {
        name: "daily".into(),
        scope: Scope::default(),
        limit_tokens: 1_000_000,
        limit_usd: Pico::ZERO,
        limit_requests: 0,
        window,
        timezone: "".into(),
        warn_percent: 80,
        critical_percent: 95,
        action: Action::Warn,
        weights: Weights::default(),
        shadow: false,
        unreachable: Unreachable::Allow,
        on_runaway: Default::default(),
        adjust: None,
    };
    Account::new(Arc::new(budget), TimeZone::UTC, Vec::new())
}

#[test]
fn a7_850_000_of_a_million_alerts_once_and_says_85_percent() {
    let mut account = account(Span::Day);
    assert_eq!(account.apply(&record(NOON, 799_999), None, NOON), None);
    let alert = account.apply(&record(NOON + 1, 50_001), None, NOON + 1).unwrap();
    assert_eq!((alert.threshold, alert.percent), (80, 85));
    assert_eq!(
        alert.message,
        "budget daily is at 85 %: 850,000 of 1,000,000 tokens used today"
    );
    assert_eq!(account.apply(&record(NOON + 2, 10), None, NOON + 2), None);
    let critical = account.apply(&record(NOON + 3, 100_000), None, NOON + 3).unwrap();
    assert_eq!((critical.threshold, critical.percent), (95, 95));
    let limit = account.apply(&record(NOON + 4, 300_000), None, NOON + 4).unwrap();
    assert_eq!((limit.threshold, limit.percent), (100, 125));
    assert_eq!(account.apply(&record(NOON + 5, 900_000), None, NOON + 5), None);
    assert_eq!(account.view(NOON + 6).state, "exceeded");
    let tomorrow = account
        .apply(&record(NOON + DAY, 850_000), None, NOON + DAY)
        .unwrap();
    assert_eq!(tomorrow.threshold, 80);
    assert_eq!(tomorrow.window_start_ms, NOON + DAY / 2);
}

#[test]
fn a_jump_over_all_thresholds_is_one_alert() {
    let mut account = account(Span::Day);
    assert_eq!(
        account
            .apply(&record(NOON, 2_000_000), None, NOON)
            .unwrap()
            .threshold,
        100
    );
    assert_eq!(account.apply(&record(NOON, 1), None, NOON), None);
}

#[test]
fn amendments_correct_the_counter_and_past_windows_do_not_count() {
    let mut account = account(Span::Day);
    account.apply(&record(NOON, 500_000), None, NOON);
    account.apply(&record(NOON, 300_000), Some(&record(NOON, 500_000)), NOON);
    assert_eq!(
        account.view(NOON).used,
        Used {
            tokens: 300_000,
            cost: Pico(300_000),
            requests: 1
        }
    );
    account.apply(&record(NOON - DAY, 500_000), None, NOON);
    assert_eq!(account.view(NOON).used.tokens, 300_000);
    // Moved into yesterday: it leaves today.
    account.apply(&record(NOON - DAY, 300_000), Some(&record(NOON, 300_000)), NOON);
    assert_eq!(account.view(NOON).used, Used::default());
}

#[test]
fn a_record_from_a_clock_ahead_counts_in_its_own_day() {
    let mut account = account(Span::Day);
    account.apply(&record(NOON, 100), None, NOON);
    account.apply(&record(NOON + DAY - 1, 7), None, NOON);
    assert_eq!(account.view(NOON).used.tokens, 100);
    assert_eq!(account.view(NOON + DAY - 2).used.tokens, 7);
}

#[test]
fn hours_run_from_the_full_hour_of_the_first_call() {
    let mut account = account(Span::Hours(5));
    let at = NOON + 20 * 60_000;
    account.apply(&record(at, 10), None, at);
    let view = account.view(at + 1);
    assert_eq!(
        (view.window_start_ms, view.resets_at_ms),
        (NOON, NOON + 5 * HOUR_MS)
    );
    let next = NOON + 5 * HOUR_MS + 1;
    assert_eq!(account.view(next).used, Used::default());
    account.apply(&record(next, 3), None, next);
    let view = account.view(next);
    assert_eq!((view.used.tokens, view.window_start_ms), (3, NOON + 5 * HOUR_MS));
    account.apply(&record(at, 99), None, next);
    assert_eq!(account.view(next).used.tokens, 3);
}

fn in_session(session: &str, at_ms: i64, tokens: u64) -> Record {
    let mut call = record(at_ms, tokens);
    call.seen.who.session = session.into();
    call
}

fn place_of(call: &Record) -> Place<'_> {
    Place::of(call)
}

#[test]
fn each_session_has_its_own_window_and_their_number_is_bounded() {
    let mut account = account(Span::Session);
    for i in (0_i64..).take(MAX_BUDGET_SESSIONS * 2) {
        let call = in_session(&format!("session {i}"), NOON + i, 850_000);
        let alert = account.apply(&call, None, NOON + i).unwrap();
        assert!(alert.message.ends_with(&format!("used in session session {i}")));
        assert_eq!(account.apply(&call, None, NOON + i).unwrap().threshold, 100);
    }
    assert!(account.counters().count() <= MAX_BUDGET_SESSIONS);
}

#[test]
fn a_budget_that_denies_forgets_no_session_that_may_come_back() {
    let mut account = account(Span::Session);
    let mut budget = (*account.budget).clone();
    budget.action = Action::Deny;
    account.budget = Arc::new(budget);
    let first = in_session("first", NOON, 7);
    account.apply(&first, None, NOON);
    let week = BUDGET_SESSION_LIFE_MS;
    let used = |account: &Account, now| account.standing(&place_of(&first), now).posted.tokens;
    for i in 0..MAX_BUDGET_SESSIONS + 5_000 {
        let call = in_session(&format!("session {i}"), NOON + week, 1);
        account.apply(&call, None, NOON + week);
    }
    assert_eq!(used(&account, NOON + week), 7);
    // Whoever cannot be counted any more is refused.
    let refused = (0..1_000)
        .map(|i| in_session(&format!("late {i}"), NOON + week, 1))
        .filter(|call| !account.has_room_for(&place_of(call), NOON + week));
    assert!(refused.count() > 500);
    assert!(account.has_room_for(&place_of(&first), NOON + week));
    // Another week later they are over and make room.
    let late = NOON + 2 * week + 1;
    assert!(
        (0..1_000).all(|i| account.has_room_for(&place_of(&in_session(&format!("late {i}"), late, 1)), late))
    );
    for i in 0..1_000 {
        account.apply(&in_session(&format!("late {i}"), late, 1), None, late);
    }
    assert!(account.counters().count() <= MAX_BUDGET_SESSIONS);
}

#[test]
fn the_highest_share_counts_and_the_scope_restricts() {
    let mut account = account(Span::Lifetime);
    let mut budget = (*account.budget).clone();
    budget.limit_usd = Pico(1_000);
    budget.limit_requests = 4;
    budget.scope.tools = vec!["Read".to_owned()];
    account.budget = Arc::new(budget);
    let mut call = record(NOON, 100);
    assert_eq!(account.apply(&call, None, NOON), None);
    assert_eq!(account.view(NOON).percent, 0);
    call.seen.who.tool = "Read".into();
    account.apply(&call, None, NOON);
    assert_eq!(account.view(NOON).percent, 25);
    assert_eq!(account.view(NOON).resets_at_ms, 0);
    call.cost = Some(Pico(750));
    let alert = account.apply(&call, None, NOON).unwrap();
    assert_eq!(
        alert.message,
        "budget daily is at 85 %: $0.00000000085 of $0.000000001 used since it was set"
    );
}

proptest::proptest! {
    /// Whatever is recorded and amended, in whatever order: the counter is the sum of the present records of the
    /// window that runs now, and each threshold is alerted on at most once, and rising.
    #[test]
    fn the_counter_is_the_sum_of_the_present_records(
        steps in proptest::collection::vec((0_usize..6, -30_i64..12, 1_u64..400_000), 1..60),
    ) {
        let mut account = account(Span::Day);
        let mut present: Vec<Option<Record>> = vec![None; 6];
        let mut alerted = 0;
        for (call, hour, tokens) in steps {
            let new = record(NOON + hour * HOUR_MS, tokens);
            let previous = present[call].replace(new.clone());
            if let Some(alert) = account.apply(&new, previous.as_ref(), NOON) {
                proptest::prop_assert!(alert.threshold > alerted && alert.percent >= alert.threshold);
                alerted = alert.threshold;
            }
        }
        let today = NOON - DAY / 2..NOON + DAY / 2;
        let within = present.iter().flatten().filter(|record| today.contains(&record.seen.at_ms));
        let expected: u64 = within.map(|record| record.seen.tokens.total()).sum();
        proptest::prop_assert_eq!(account.view(NOON).used.tokens, expected);
    }
}
