//! The contract as tests: every store passes [`suite`], and [`same`] holds one store against another.

mod witness;

use std::collections::{BTreeMap, BTreeSet};

use tokmon_core::Name;
use tokmon_core::entry::{Body, Entry};
use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_core::rollup::{Agg, Dimension, Dims};

use super::samples::{START_MS, amend, batch, call, calls, usage};
use super::{Batch, Cut, DropReason, Dropped, Position, SessionRow, Staged, Store, StoreError, record_of};

/// Rollup rows with their names, sorted: ids may differ between stores.
fn rollup(store: &dyn Store, full: bool, range: std::ops::Range<u32>) -> BTreeMap<(u32, Vec<Name>), Agg> {
    let mut rows: Vec<(u32, Dims, Agg)> = Vec::new();
    let mut visit = |bucket: u32, dims: &Dims, agg: &Agg| rows.push((bucket, *dims, agg.clone()));
    let done = match full {
        true => store.rollup_full(range, &mut visit),
        false => store.rollup_coarse(range, &mut visit),
    };
    done.expect("rollup rows can be read");
    assert!(
        rows.is_sorted_by_key(|row| row.0),
        "rollup rows come in the order of buckets"
    );
    let count = rows.len();
    let name = |dimension: Dimension, id| {
        let name = store
            .name(dimension, id)
            .expect("names can be read")
            .expect("ids in rows have names");
        assert_eq!(
            store.id(dimension, &name).expect("ids can be read"),
            Some(id),
            "{name}"
        );
        name
    };
    let named: BTreeMap<(u32, Vec<Name>), Agg> = rows
        .into_iter()
        .map(|(bucket, dims, agg)| {
            let names = Dimension::ALL.map(|d| name(d, dims[d as usize]));
            ((bucket, names.to_vec()), agg)
        })
        .collect();
    assert_eq!(named.len(), count, "one row per bucket and names");
    named
}

fn sessions(store: &dyn Store, from_ms: i64) -> BTreeMap<(Name, Name), SessionRow> {
    let mut rows = BTreeMap::new();
    let mut visit = |row: SessionRow| {
        let former = rows.insert((row.session.clone(), row.agent.clone()), row);
        assert_eq!(former, None, "one row per session and agent");
    };
    store.sessions(from_ms, &mut visit).expect("sessions can be read");
    rows
}

/// Asserts that two stores answer every read alike. `keys` are asked for one by one.
///
/// # Panics
/// When they differ.
pub fn same(a: &dyn Store, b: &dyn Store, keys: &[Key]) {
    assert_eq!(a.last_seq().unwrap(), b.last_seq().unwrap());
    let entries = a.entries_after(0, usize::MAX).unwrap();
    assert_eq!(entries, b.entries_after(0, usize::MAX).unwrap());
    assert_eq!(a.entries_after(2, 3).unwrap(), b.entries_after(2, 3).unwrap());
    let everything = i64::MIN..i64::MAX;
    let records = a.records(everything.clone(), None, usize::MAX).unwrap();
    assert_eq!(records, b.records(everything.clone(), None, usize::MAX).unwrap());
    for entry in records.iter().take(8) {
        let at_ms = record_of(entry)
            .expect("a listed entry holds a record")
            .seen
            .at_ms;
        let before = Some((at_ms, entry.seq));
        assert_eq!(
            a.records(everything.clone(), before, 3).unwrap(),
            b.records(everything.clone(), before, 3).unwrap()
        );
        assert_eq!(
            a.records(at_ms..at_ms + 1, None, 9).unwrap(),
            b.records(at_ms..at_ms + 1, None, 9).unwrap()
        );
        assert_eq!(
            a.count_before(&Cut::before(at_ms)).unwrap(),
            b.count_before(&Cut::before(at_ms)).unwrap()
        );
        assert_eq!(sessions(a, at_ms), sessions(b, at_ms));
        assert_eq!(a.entry(entry.seq).unwrap().as_ref(), Some(entry));
        assert_eq!(b.entry(entry.seq).unwrap().as_ref(), Some(entry));
    }
    assert_eq!(a.known(keys).unwrap(), b.known(keys).unwrap());
    assert_eq!(a.purged(keys).unwrap(), b.purged(keys).unwrap());
    for key in keys {
        assert_eq!(a.dropped(*key).unwrap(), b.dropped(*key).unwrap());
    }
    for full in [false, true] {
        let whole = rollup(a, full, 0..u32::MAX);
        assert_eq!(whole, rollup(b, full, 0..u32::MAX));
        if let Some(((bucket, _), _)) = whole.first_key_value() {
            let some = *bucket..bucket + 3;
            assert_eq!(rollup(a, full, some.clone()), rollup(b, full, some));
        }
    }
    let rows = sessions(a, i64::MIN);
    assert_eq!(rows, sessions(b, i64::MIN));
    for (session, agent) in rows.keys() {
        assert_eq!(
            a.session(agent, session).unwrap(),
            b.session(agent, session).unwrap()
        );
        assert_eq!(a.session("", session).unwrap(), b.session("", session).unwrap());
    }
    let positions = |store: &dyn Store| {
        let mut all = store.positions().unwrap();
        all.sort_by(|x, y| x.path.cmp(&y.path));
        all
    };
    assert_eq!(positions(a), positions(b));
    let places = |store: &dyn Store| {
        let mut texts: Vec<Name> = (store.places().unwrap().into_iter())
            .map(|(id, text)| {
                assert_eq!(store.name(Dimension::Place, id).unwrap().as_ref(), Some(&text));
                text
            })
            .collect();
        texts.sort();
        texts
    };
    assert_eq!(places(a), places(b));
    assert_eq!(a.checkpoint().unwrap(), b.checkpoint().unwrap());
    let stats = |store: &dyn Store| super::Stats {
        file_bytes: 0,
        ..store.stats().unwrap()
    };
    assert_eq!(stats(a), stats(b));
    for store in [a, b] {
        assert_eq!(store.verify().unwrap().findings, Vec::<String>::new());
    }
}

/// Runs every rule of the contract against fresh stores.
///
/// # Panics
/// When the store breaks a rule.
pub fn suite(make: impl Fn() -> Box<dyn Store>) {
    for rule in [
        empty_store_answers,
        batches_are_all_or_nothing,
        amendments_move_their_share,
        witness::accounts_lead_to_their_call,
        witness::what_is_taken_back_is_in_no_sum,
        a_call_is_known_on_the_days_beside_its_own,
        dropped_lines_are_bounded_and_counted_once,
        positions_and_checkpoints_are_kept,
        records_are_paged_newest_first,
        purged_records_leave_their_totals,
        sessions_follow_their_latest_call,
    ] {
        rule(&*make());
    }
}

fn empty_store_answers(store: &dyn Store) {
    assert_eq!(store.last_seq().unwrap(), 0);
    assert_eq!(store.entries_after(0, 10).unwrap(), []);
    assert_eq!(store.entries_after(u64::MAX, 10).unwrap(), []);
    assert_eq!(store.entry(1).unwrap(), None);
    assert_eq!(store.known(&[Key::new(1, &["x"])]).unwrap(), [None]);
    assert_eq!(store.records(0..i64::MAX, None, 10).unwrap(), []);
    assert_eq!(store.checkpoint().unwrap(), None);
    assert_eq!(store.session("", "x").unwrap(), None);
    assert_eq!(store.name(Dimension::Model, 0).unwrap().as_deref(), Some(""));
    assert_eq!(store.name(Dimension::Model, 1).unwrap(), None);
    assert_eq!(store.id(Dimension::Model, "").unwrap(), Some(0));
    assert_eq!(store.id(Dimension::Model, "x").unwrap(), None);
    assert_eq!(store.purge(&Cut::before(i64::MIN), 10).unwrap(), 0);
    assert_eq!(store.stats().unwrap().purge_horizon_ms, 0);
    assert_eq!(store.verify().unwrap().findings, Vec::<String>::new());
    store.append(&Batch::default()).unwrap();
    assert_eq!(store.last_seq().unwrap(), 0);
}

fn batches_are_all_or_nothing(store: &dyn Store) {
    store.append(&calls(0, 3)).unwrap();
    let known = call(2, START_MS + 120_000);
    let (fresh, stranger) = (call(9, START_MS), call(8, START_MS));
    let wrong = [
        ("a hole", vec![usage(5, fresh.clone())]),
        ("a repeated seq", vec![usage(3, fresh.clone())]),
        (
            "a known call",
            vec![usage(4, fresh.clone()), usage(5, known.clone())],
        ),
        (
            "a call twice",
            vec![usage(4, fresh.clone()), usage(5, fresh.clone())],
        ),
        (
            "an unknown call amended",
            vec![amend(4, 2, stranger.clone(), fresh.clone())],
        ),
        (
            "another entry amended",
            vec![amend(4, 1, known.clone(), known.clone())],
        ),
        (
            "an amendment without its record",
            vec![Staged {
                previous: None,
                ..amend(4, 2, known.clone(), known.clone())
            }],
        ),
    ];
    let before = (
        store.entries_after(0, 10).unwrap(),
        rollup(store, true, 0..u32::MAX),
    );
    for (what, entries) in wrong {
        let result = store.append(&batch(entries));
        assert!(
            matches!(result, Err(StoreError::Conflict(_))),
            "{what}: {result:?}"
        );
        let after = (
            store.entries_after(0, 10).unwrap(),
            rollup(store, true, 0..u32::MAX),
        );
        assert_eq!(before, after, "{what}");
        assert_eq!(store.known(&[fresh.seen.key]).unwrap(), [None], "{what}");
    }
    store.append(&batch(vec![usage(4, fresh)])).unwrap();
    assert_eq!(store.last_seq().unwrap(), 4);
}

fn amendments_move_their_share(store: &dyn Store) {
    let first = call(1, START_MS);
    let mut second = first.clone();
    second.seen.at_ms += 3_600_000;
    second.seen.who.session = "another".into();
    second.seen.tokens.output += 500;
    second.cost = Some(Pico(77));
    let mut third = second.clone();
    third.seen.key.day += 1;
    third.seen.who.project = "/elsewhere".into();
    store
        .append(&batch(vec![usage(1, first.clone()), usage(2, call(2, START_MS))]))
        .unwrap();
    // The second amendment replaces what the same batch has just brought.
    let entries = vec![
        amend(3, 1, first.clone(), second.clone()),
        amend(4, 3, second.clone(), third.clone()),
    ];
    store.append(&batch(entries)).unwrap();
    let known = store
        .known(&[first.seen.key])
        .unwrap()
        .remove(0)
        .expect("known under the old day too");
    assert_eq!((known.seq, &known.record), (4, &third));
    let listed = store.records(0..i64::MAX, None, 10).unwrap();
    assert_eq!(listed.iter().map(|e| e.seq).collect::<Vec<_>>(), [4, 2]);
    let rows = rollup(store, true, 0..u32::MAX);
    let mut total = Agg::empty();
    rows.values().for_each(|agg| total.add(agg));
    assert_eq!((rows.len(), total.requests), (2, 2));
    assert_eq!(total.cost, Pico(77) + call(2, START_MS).cost.unwrap_or_default());
    let row = store
        .session("codex", "another")
        .unwrap()
        .expect("the call's new session");
    assert_eq!(&*row.project, "/elsewhere");
    assert_eq!(
        store
            .session("codex", &first.seen.who.session)
            .unwrap()
            .map(|r| r.agg.requests),
        Some(1)
    );
    assert_eq!(store.entry(1).unwrap().expect("replaced entries are kept").seq, 1);
    assert_eq!(store.verify().unwrap().findings, Vec::<String>::new());
}

fn a_call_is_known_on_the_days_beside_its_own(store: &dyn Store) {
    let record = call(1, START_MS);
    let Key { day, hash } = record.seen.key;
    let mut timeless = call(2, START_MS);
    timeless.seen.key.day = 0;
    let zero = timeless.seen.key;
    store
        .append(&batch(vec![usage(1, record), usage(2, timeless)]))
        .unwrap();
    let keys = [day - 2, day - 1, day, day + 1, day + 2, 0].map(|day| Key { day, hash });
    let found = store.known(&keys).unwrap();
    let seqs: Vec<_> = found.iter().map(|known| known.as_ref().map(|k| k.seq)).collect();
    assert_eq!(seqs, [None, Some(1), Some(1), Some(1), None, None]);
    let found = store.known(&[zero, Key { day: 1, ..zero }]).unwrap();
    assert_eq!(
        found.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false]
    );
}

fn dropped_lines_are_bounded_and_counted_once(store: &dyn Store) {
    let record = call(1, START_MS);
    let key = record.seen.key;
    let line = |offset| Dropped {
        kind: "claude-code-transcript".into(),
        path: "/some/copy.jsonl".into(),
        offset,
        reason: DropReason::Copy,
    };
    let mut first = batch(vec![usage(1, record)]);
    first.dropped = vec![(key, line(0)), (key, line(0)), (key, line(1))];
    store.append(&first).unwrap();
    assert_eq!(store.dropped(key).unwrap(), (vec![line(0), line(1)], 2));
    let beside = Key {
        day: key.day + 1,
        ..key
    };
    let more = (1..20).map(|offset| (key, line(offset))).collect();
    store
        .append(&Batch {
            dropped: more,
            ..Batch::default()
        })
        .unwrap();
    let (lines, count) = store.dropped(beside).unwrap();
    assert_eq!((lines.len(), count), (super::MAX_DROPPED_KEPT, 20));
    assert_eq!(store.dropped(Key::new(5, &["nobody"])).unwrap(), (vec![], 0));
}

fn positions_and_checkpoints_are_kept(store: &dyn Store) {
    let position = |path: &str, offset| Position {
        agent: "codex".into(),
        path: path.into(),
        file_id: (7, u64::MAX),
        offset,
        size: 10,
        mtime_ns: -5,
        tail_hash: u64::MAX,
        state: vec![0, 255],
        parser_version: 3,
        records: 4,
        failures: 5,
    };
    let mut first = calls(0, 2);
    first.positions = vec![position("/a", 1), position("/b", 2)];
    first.checkpoint = Some(vec![1, 2, 3]);
    store.append(&first).unwrap();
    assert_eq!(store.checkpoint().unwrap(), Some((2, vec![1, 2, 3])));
    let mut second = calls(2, 1);
    second.positions = vec![position("/a", 9), position("/c", 0)];
    second.forgotten = vec!["/b".into(), "/c".into(), "/never seen".into()];
    store.append(&second).unwrap();
    assert_eq!(
        store.checkpoint().unwrap(),
        Some((2, vec![1, 2, 3])),
        "the former one is kept"
    );
    let mut all = store.positions().unwrap();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(all, [position("/a", 9), position("/c", 0)]);
}

fn records_are_paged_newest_first(store: &dyn Store) {
    // Entries 1 to 30, three calls at each instant.
    let at = |seq: u64| START_MS + i64::try_from(seq / 3).unwrap_or(0);
    store
        .append(&batch(
            (1..=30).map(|seq| usage(seq, call(seq, at(seq)))).collect(),
        ))
        .unwrap();
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page = store.records(START_MS..START_MS + 9, before, 4).unwrap();
        assert!(page.len() <= 4);
        let Some(last) = page.last() else { break };
        before = Some((at(last.seq), last.seq));
        seen.extend(page.iter().map(|e| e.seq));
    }
    let expected: Vec<u64> = (1..27).rev().collect();
    assert_eq!(seen, expected);
    let nothing = std::ops::Range { start: 5, end: 5 };
    assert_eq!(store.records(nothing, None, 9).unwrap(), []);
}

fn purged_records_leave_their_totals(store: &dyn Store) {
    let mut all = calls(0, 40);
    let key = call(1, START_MS + 60_000).seen.key;
    let old = call(2, START_MS + 120_000);
    all.entries.push(amend(41, 2, old.clone(), old));
    all.entries.push(Staged {
        entry: Entry {
            seq: 42,
            recorded_at_ms: 1,
            by: None,
            body: Body::BudgetSet("{}".into()),
        },
        previous: None,
    });
    store.append(&all).unwrap();
    let sums = (
        rollup(store, false, 0..u32::MAX),
        rollup(store, true, 0..u32::MAX),
    );
    let rows = sessions(store, i64::MIN);
    let horizon = START_MS + 21 * 60_000;
    assert_eq!(store.count_before(&Cut::before(horizon)).unwrap(), 20);
    assert_eq!(store.purge(&Cut::before(horizon), 15).unwrap(), 15);
    assert_eq!(store.purge(&Cut::before(horizon), 15).unwrap(), 5);
    assert_eq!(store.purge(&Cut::before(horizon), 15).unwrap(), 0);
    let left: BTreeSet<u64> = store
        .entries_after(0, 100)
        .unwrap()
        .iter()
        .map(|e| e.seq)
        .collect();
    assert_eq!(left, (21..=40).chain([42]).collect());
    assert_eq!(store.known(&[key]).unwrap(), [None]);
    let beside = Key {
        day: key.day + 1,
        ..key
    };
    let kept = call(30, START_MS + 30 * 60_000).seen.key;
    assert_eq!(store.purged(&[key, beside, kept]).unwrap(), [true, true, false]);
    assert_eq!(
        sums,
        (
            rollup(store, false, 0..u32::MAX),
            rollup(store, true, 0..u32::MAX)
        )
    );
    assert_eq!(rows, sessions(store, i64::MIN));
    assert_eq!(store.purge(&Cut::before(i64::MAX), usize::MAX).unwrap(), 20);
    let stats = store.stats().unwrap();
    assert_eq!(
        (stats.entries, stats.last_seq, stats.purge_horizon_ms),
        (1, 42, i64::MAX)
    );
    assert_eq!(store.verify().unwrap().findings, Vec::<String>::new());
    store.append(&calls(42, 3)).unwrap();
    assert_eq!(store.last_seq().unwrap(), 45);
}

fn sessions_follow_their_latest_call(store: &dyn Store) {
    let with = |n: u64, at_ms: i64, agent: &str, project: &str| {
        let mut record = call(n, at_ms);
        record.seen.who.session = "s".into();
        record.seen.who.agent = agent.into();
        record.seen.who.project = project.into();
        record
    };
    let entries = vec![
        usage(1, with(1, START_MS + 50, "a", "/new")),
        usage(2, with(2, START_MS, "a", "/old")),
        usage(3, with(3, START_MS + 60, "b", "/other")),
    ];
    store.append(&batch(entries)).unwrap();
    let row = store.session("a", "s").unwrap().expect("a session");
    assert_eq!((&*row.project, row.agg.requests), ("/new", 2));
    assert_eq!((row.agg.first_ms, row.agg.last_ms), (START_MS, START_MS + 50));
    assert_eq!(&*store.session("", "s").unwrap().expect("any agent").agent, "b");
    assert_eq!(store.session("c", "s").unwrap(), None);
    assert_eq!(sessions(store, START_MS + 55).len(), 1);
}
