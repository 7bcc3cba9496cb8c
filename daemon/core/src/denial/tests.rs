//! Counts of denials: right whatever is told when.

use proptest::prelude::*;

use super::*;

fn caller(session: u8) -> Caller {
    Caller {
        agent: "a".into(),
        session: format!("s{session}").into(),
        ..Caller::default()
    }
}

fn grounds(resets_at_ms: i64) -> Grounds {
    Grounds::refused_by("day".into(), Unit::Tokens, resets_at_ms)
}

/// Adds one denial and tells of it as the writer does.
fn deny(denials: &mut Denials, session: u8, resets: i64, now: i64) -> u64 {
    let told = denials.add(&caller(session), Estimate::default(), grounds(resets), now);
    told.iter().for_each(|denial| denials.told(denial));
    told.iter().map(|denial| denial.count).sum()
}

fn tell_due(denials: &mut Denials, now: i64) -> u64 {
    let due = denials.due(now);
    due.iter().for_each(|denial| denials.told(denial));
    due.iter().map(|denial| denial.count).sum()
}

#[test]
fn a_loop_of_a_day_makes_few_entries_and_none_is_lost() {
    let mut denials = Denials::default();
    let (mut entries, mut counted, mut now) = (0, 0, 0);
    for _ in 0..100_000 {
        let told = denials.add(&caller(0), Estimate::default(), grounds(0), now);
        entries += told.len();
        counted += told.iter().map(|d| d.count).sum::<u64>();
        told.iter().for_each(|denial| denials.told(denial));
        now += 1;
    }
    assert!(entries <= 18, "{entries}");
    assert_eq!(counted + tell_due(&mut denials, i64::MAX), 100_000);
    assert_eq!(denials.next_due_ms(), None);
}

#[test]
fn another_window_is_another_run() {
    let mut denials = Denials::default();
    assert_eq!(deny(&mut denials, 0, 100, 1), 1);
    assert_eq!(deny(&mut denials, 0, 100, 2), 1);
    assert_eq!(deny(&mut denials, 0, 100, 3), 0, "the third waits");
    assert_eq!(denials.next_due_ms(), Some(3 + 4 * FIRST_PAUSE_MS));
    // The window is over: what was not told is, and the new run begins at one.
    let told = denials.add(&caller(0), Estimate::default(), grounds(200), 100);
    let figures: Vec<_> = told.iter().map(|d| (d.count, d.times)).collect();
    assert_eq!(figures, [(1, 3), (1, 1)]);
}

#[test]
fn too_many_sessions_are_counted_together() {
    let mut denials = Denials::default();
    let mut counted = 0;
    for n in 0..3 * MAX_DENIAL_RUNS {
        let mut caller = caller(0);
        caller.session = format!("{n}").into();
        let told = denials.add(&caller, Estimate::default(), grounds(0), 5);
        told.iter().for_each(|denial| denials.told(denial));
        counted += told.iter().map(|d| d.count).sum::<u64>();
    }
    assert_eq!(denials.runs.len(), MAX_DENIAL_RUNS + 1);
    assert_eq!(
        counted + tell_due(&mut denials, i64::MAX),
        3 * MAX_DENIAL_RUNS as u64
    );
}

proptest! {
    #[test]
    fn counts_add_up_over_saves_and_pauses(
        steps in prop::collection::vec((0u8..3, 0i64..90_000, any::<bool>(), any::<bool>()), 1..200),
    ) {
        let mut denials = Denials::default();
        let (mut counted, mut now, mut runs) = (0, 0, 0);
        for (session, later, flush, reload) in &steps {
            now += later;
            counted += deny(&mut denials, *session, 0, now);
            if *flush {
                counted += tell_due(&mut denials, now);
            }
            if *reload {
                // As when the ledger is closed: everything is told, then saved.
                counted += tell_due(&mut denials, i64::MAX);
                denials = Denials::load(denials.save());
            }
            runs = runs.max(denials.runs.len());
        }
        counted += tell_due(&mut denials, i64::MAX);
        prop_assert_eq!(counted, steps.len() as u64);
        prop_assert!(runs <= 3);
        let times: u64 = denials.runs.iter().map(|run| run.denial.times).sum();
        prop_assert!(times <= steps.len() as u64);
    }
}
