//! Keys of several witnesses' accounts of one call, and what only an agent's own total shows.

use tokmon_core::merge::Candidate;
use tokmon_core::money::Pico;
use tokmon_core::observation::CallKind;
use tokmon_core::tokens::Tokens;

use super::super::samples::{START_MS, amend, batch, call, usage};
use super::super::{Cut, Store};

/// Each account's key leads to the call, until they are taken apart, and also when it was purged.
pub(super) fn accounts_lead_to_their_call(store: &dyn Store) {
    let (first, other) = (call(1, START_MS), call(4, START_MS + 1));
    let mut joined = first.clone();
    joined.heard = [&first, &other].map(Candidate::of).into();
    store.append(&batch(vec![usage(1, first.clone())])).unwrap();
    let key = other.seen.key;
    assert_eq!(store.known(&[key]).unwrap(), [None]);
    let joins = amend(2, 1, first.clone(), joined.clone());
    store.append(&batch(vec![joins])).unwrap();
    let known = |key| {
        store
            .known(&[key])
            .unwrap()
            .remove(0)
            .map(|known| (known.seq, known.record))
    };
    assert_eq!(known(key), Some((2, joined.clone())));
    assert_eq!(known(first.seen.key), known(key));
    // Apart again, the other is a call of its own.
    let apart = amend(3, 2, joined.clone(), first.clone());
    store
        .append(&batch(vec![apart, usage(4, other.clone())]))
        .unwrap();
    assert_eq!(known(key), Some((4, other)));
    assert_eq!(known(first.seen.key), Some((3, first.clone())));
    // What was purged is purged under every key.
    let third = call(8, START_MS + 2);
    let mut both = first.clone();
    both.heard = [&first, &third].map(Candidate::of).into();
    store.append(&batch(vec![amend(5, 3, first, both)])).unwrap();
    assert_eq!(store.verify().unwrap().findings, Vec::<String>::new());
    assert_eq!(store.purge(&Cut::before(START_MS + 1), 9).unwrap(), 1);
    assert_eq!(known(third.seen.key), None);
    assert_eq!(store.purged(&[third.seen.key, key]).unwrap(), [true, false]);
}

/// A booking that is taken back is in no sum, also where it was alone; it can come back.
pub(super) fn what_is_taken_back_is_in_no_sum(store: &dyn Store) {
    let amount = |usd: i128| {
        let mut record = call(1, START_MS);
        record.seen.kind = CallKind::Several;
        record.seen.tokens = Tokens::default();
        record.seen.source.kind = "claude-code-statusline".into();
        record.seen.failed = false;
        (record.seen.reported_cost, record.cost) = (Some(Pico(usd)), Some(Pico(usd)));
        record.waste.clear();
        record
    };
    let calls = |store: &dyn Store| {
        let mut calls = 0;
        store
            .rollup_full(0..u32::MAX, &mut |_, _, agg| calls += agg.requests)
            .unwrap();
        calls
    };
    store.append(&batch(vec![usage(1, amount(5))])).unwrap();
    assert_eq!(calls(store), 1);
    let back = amend(2, 1, amount(5), amount(0));
    store.append(&batch(vec![back])).unwrap();
    assert_eq!(calls(store), 0);
    assert_eq!(store.verify().unwrap().findings, Vec::<String>::new());
    let again = amend(3, 2, amount(0), amount(7));
    store.append(&batch(vec![again])).unwrap();
    assert_eq!(calls(store), 1);
    assert_eq!(store.verify().unwrap().findings, Vec::<String>::new());
}
