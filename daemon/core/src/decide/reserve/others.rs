//! What went wrong with budgets elsewhere, and the test here that shows that it does not. Names without a path are tests
//! in this crate (`cargo test -p tokmon-core NAME`); `ledger` is `tokmon-ledger`, `it` is `tests/it`, `ctl` is tokmonctl.
//!
//! | what went wrong | shown by |
//! |---|---|
//! | far past the budget and still admitted | `no_interleaving_passes_a_limit` |
//! | a path around the check | `every_key_restricts_what_is_asked_held_settled_and_recorded` |
//! | concurrent first requests pass together | `concurrent_first_requests_do_not_pass_a_limit_together` |
//! | a counter is forgotten after a while | `a_budget_that_denies_forgets_no_session_that_may_come_back` |
//! | seeding again adds again | ledger `setting_a_budget_again_or_starting_again_counts_nothing_twice` |
//! | a client that disconnects leaks its hold | `a_client_that_vanishes_does_not_pin_the_budget_and_a_late_settlement_still_counts` |
//! | a refused request keeps its hold | `all_budgets_hold_it_or_none` |
//! | one call counts twice by two ways in | ledger `a_call_that_was_read_elsewhere_too_counts_once` |
//! | an error while settling loses the cost | ledger `a_settlement_that_is_refused_leaves_the_reservation_as_it_was` |
//! | stale after a restart of the store | ledger `a_restart_keeps_what_is_held_and_what_was_settled` |
//! | a stream that dies settles to nothing | `a_call_that_was_cut_off_counts_what_arrived` |
//! | a disconnect writes no spend at all | `a_client_that_vanishes_does_not_pin_the_budget_and_a_late_settlement_still_counts` |
//! | an explicit zero is taken for "unknown" | `an_explicit_zero_is_zero` |
//! | a reset forgets what is held | `usage_belongs_to_the_window_in_which_it_was_admitted` |
//! | a call that nobody waits for is billed all the same | `what_is_settled_after_its_time_counts_once` |
//! | an incomplete answer is billed 0 | `a_call_that_was_cut_off_counts_what_arrived` |
//! | a budget never resets | `windows_tile_time_over_clock_changes_month_ends_and_leap_days` |
//! | a reset leaves the counter: refused for ever | `the_next_window_is_empty_without_anybody_resetting_it` |
//! | a new window counts everything before it | `a_new_budget_counts_its_window_and_nothing_before` |
//! | changed limits or spend are not seen | `a_lower_limit_counts_what_is_open_and_a_changed_one_keeps_usage` |
//! | the window's zone is dropped | `calendar_windows_follow_the_zone_and_its_clock_changes` |
//! | some routes pass no budget | `every_key_restricts_what_is_asked_held_settled_and_recorded` |
//! | one of several budgets is left out | `overlapping_budgets_all_hold_what_they_cover` |
//! | an unknown field is dropped, nothing is enforced | ctl `what_is_wrong_in_a_file_is_named` |
//! | one counter per replica | it `sixty_four_processes_never_pass_a_limit_together` |
//! | a scope that matches nothing, in silence | ctl `scopes_are_read` |
//! | the grant is only advice | `more_than_was_reserved_is_booked_as_overdraft_and_the_next_is_refused` |
//! | the worst case is held, so nothing is granted | `an_answer_is_estimated_by_what_this_agent_and_model_answered_lately` |
//! | a retry counts twice | `settling_twice_counts_once_and_with_another_figure_is_a_conflict` |
//! | refusals count against the budget | ledger `denials_are_few_entries_and_count_against_nothing` |
//! | a refusal looks like a rate limit | it `a_session_has_three_budgets_and_each_refusal_says_which_kind_it_is` |
//! | an alert for each request after the threshold | `alerts_come_once_also_when_the_budget_is_set_again` |
//! | cache reads use the quota up | `cache_reads_weigh_what_they_are_told_to` |
//! | the cheaper model that is promised does not exist | `a_denial_names_cheaper_models_that_fit` |

use super::bench::{Bench, DAY, HOUR, NOON, ask, deny};
use super::*;
use crate::budget::{Place, Span, Used, Weights};
use crate::decide::Manner;
use crate::testing::observation;

#[test]
fn a_call_that_was_cut_off_counts_what_arrived() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 60)).unwrap();
    let mut seen = observation("cut off", NOON);
    seen.failed = true;
    seen.tokens = Tokens {
        input: 30,
        output: 7,
        ..Tokens::default()
    };
    let spent = Spent { seen, named: false };
    let Settled::Written { body, seen, .. } = bench.draft.settle(&"r".into(), spent).unwrap() else {
        panic!("it was open");
    };
    let seen = bench.draft.prepare(*seen, NOON, Manner::Ask).unwrap();
    bench.push(body);
    bench.call(seen);
    assert_eq!(bench.stands("d"), (37, 0, 0));
}

#[test]
fn what_is_settled_after_its_time_counts_once() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("r", 60)).unwrap();
    bench.now += 2 * HOUR;
    assert_eq!(bench.settle("r", 60).unwrap(), None);
    assert_eq!(bench.settle("r", 60).unwrap(), Some(End::Settled));
    assert_eq!(bench.stands("d"), (60, 0, 0));
}

#[test]
fn the_next_window_is_empty_without_anybody_resetting_it() {
    let mut bench = Bench::new(vec![deny("d", 100, Span::Day)]);
    bench.reserve(ask("used", 60)).unwrap();
    bench.settle("used", 60).unwrap();
    bench.reserve(ask("held", 40)).unwrap();
    assert!(!bench.reserve(ask("more", 1)).unwrap());
    bench.now += DAY;
    assert_eq!(bench.stands("d"), (0, 0, 0));
    assert!(bench.reserve(ask("more", 100)).unwrap());
}

#[test]
fn a_new_budget_counts_its_window_and_nothing_before() {
    let bench = Bench::new(Vec::new());
    let mut account = bench.draft.open_account(deny("d", 100, Span::Day)).unwrap();
    let (agent, session): (Name, Name) = ("a".into(), "s".into());
    for (at_ms, tokens) in [(NOON - DAY, 1_000_000), (NOON - HOUR, 7)] {
        let used = Used {
            tokens,
            ..Used::default()
        };
        let place = Place {
            at_ms,
            agent: &agent,
            session: &session,
        };
        account.seed(&place, &used, NOON);
    }
    assert_eq!(account.view(NOON).used.tokens, 7);
}

#[test]
fn cache_reads_weigh_what_they_are_told_to() {
    let mut budget = deny("d", 100, Span::Day);
    budget.weights = Weights {
        cache_read: 0,
        ..Weights::default()
    };
    let mut bench = Bench::new(vec![budget]);
    let mut seen = observation("cached", NOON);
    seen.tokens = Tokens {
        input: 1,
        cache_read: 1_310,
        ..Tokens::default()
    };
    bench.call(seen);
    assert_eq!(bench.stands("d"), (1, 0, 0));
}
