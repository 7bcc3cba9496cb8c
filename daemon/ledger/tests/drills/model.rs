//! Random histories on two stores: the one in memory, which is plain, and the one in a file answer alike.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tokmon_core::entry::Record;
use tokmon_core::id::Key;
use tokmon_core::money::Pico;
use tokmon_ledger::store::conformance::same;
use tokmon_ledger::store::samples::{START_MS, amend, call, usage};
use tokmon_ledger::store::{Batch, Cut, DropReason, Dropped, MemoryStore, Position, RedbStore, Store};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Usage {
        call: u64,
        minute: i64,
    },
    Amend {
        call: u64,
        minutes: i64,
        output: u64,
        session: u8,
        next_day: bool,
    },
    Drop {
        call: u64,
        offset: u64,
    },
    Read {
        file: u8,
        offset: u64,
    },
    Forget {
        file: u8,
    },
    Checkpoint(Vec<u8>),
    Commit,
    Purge {
        minute: i64,
        max: usize,
        recent: u64,
    },
    Reopen,
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    let (calls, minutes) = (0..24_u64, 0..300_i64);
    prop_oneof![
        6 => (calls.clone(), minutes.clone()).prop_map(|(call, minute)| Step::Usage { call, minute }),
        4 => (calls.clone(), -30..30_i64, 0..900_u64, 0..3_u8, any::<bool>()).prop_map(
            |(call, minutes, output, session, next_day)| Step::Amend { call, minutes, output, session, next_day }
        ),
        2 => (calls, 0..12_u64).prop_map(|(call, offset)| Step::Drop { call, offset }),
        1 => (0..4_u8, any::<u64>()).prop_map(|(file, offset)| Step::Read { file, offset }),
        1 => (0..4_u8).prop_map(|file| Step::Forget { file }),
        1 => any::<Vec<u8>>().prop_map(Step::Checkpoint),
        3 => Just(Step::Commit),
        1 => (minutes, 1..9_usize, 0..9_u64).prop_map(|(minute, max, recent)| Step::Purge { minute, max, recent }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rest),
    ]
}

/// What the writer would know: it never hands over what contradicts the store.
struct World {
    memory: MemoryStore,
    file: RedbStore,
    batch: Batch,
    seq: u64,
    present: BTreeMap<u64, (u64, Record)>,
    keys: Vec<Key>,
    purged: BTreeSet<u64>,
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Usage { call: n, minute } => {
                let record = call(n, START_MS + minute * 60_000);
                if self.present.contains_key(&n) || self.purged.contains(&n) {
                    return;
                }
                self.seq += 1;
                self.batch.entries.push(usage(self.seq, record.clone()));
                self.keep(n, record);
            }
            Step::Amend {
                call: n,
                minutes,
                output,
                session,
                next_day,
            } => {
                let Some((replaces, previous)) = self.present.get(&n).cloned() else {
                    return;
                };
                let mut record = previous.clone();
                record.seen.at_ms += minutes * 60_000;
                record.seen.tokens.output = output;
                record.cost = (output % 3 != 0).then_some(Pico(i128::from(output)));
                record.waste.clear();
                record.seen.key.day += u32::from(next_day);
                if session > 0 {
                    record.seen.who.session = format!("other-{session}").into();
                }
                self.seq += 1;
                self.batch
                    .entries
                    .push(amend(self.seq, replaces, previous, record.clone()));
                self.keep(n, record);
            }
            Step::Drop { call: n, offset } => {
                let Some((_, record)) = self.present.get(&n) else {
                    return;
                };
                let line = Dropped {
                    kind: "codex-rollout".into(),
                    path: format!("/file-{}", offset % 3).into(),
                    offset,
                    reason: DropReason::Weaker,
                };
                self.batch.dropped.push((record.seen.key, line));
            }
            Step::Read { file, offset } => self.batch.positions.push(Position {
                agent: "codex".into(),
                path: format!("/file-{file}").into(),
                file_id: (1, offset),
                offset,
                size: offset,
                mtime_ns: 1,
                tail_hash: offset,
                state: vec![file; usize::from(file)],
                parser_version: 1,
                records: 2,
                failures: 0,
            }),
            Step::Forget { file } => self.batch.forgotten.push(format!("/file-{file}").into()),
            Step::Checkpoint(state) => self.batch.checkpoint = Some(state),
            Step::Commit => self.commit(),
            Step::Purge { minute, max, recent } => {
                self.commit();
                let cut = Cut {
                    horizon_ms: START_MS + minute * 60_000,
                    before_seq: self.seq.saturating_sub(recent),
                };
                let covered = self.memory.count_before(&cut).expect("counted");
                assert_eq!(self.file.count_before(&cut).expect("counted"), covered);
                loop {
                    let gone = self.memory.purge(&cut, max).expect("purged");
                    assert_eq!(self.file.purge(&cut, max).expect("purged"), gone);
                    if gone == 0 {
                        break;
                    }
                }
                let old =
                    |seq: u64, record: &Record| seq < cut.before_seq && record.seen.at_ms < cut.horizon_ms;
                let gone = self.present.iter().filter(|(_, (seq, record))| old(*seq, record));
                self.purged.extend(gone.map(|(call, _)| *call));
                self.present.retain(|_, (seq, record)| !old(*seq, record));
            }
            Step::Reopen => self.file.reopen().expect("reopened"),
            Step::Rest => self.file.rest().expect("opened anew"),
        }
    }

    fn keep(&mut self, n: u64, record: Record) {
        self.keys.push(record.seen.key);
        self.present.insert(n, (self.seq, record));
    }

    fn commit(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.memory.append(&batch).expect("a good batch");
        self.file.append(&batch).expect("a good batch");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_answer_alike(steps in proptest::collection::vec(step(), 1..120)) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut world = World {
            memory: MemoryStore::new(),
            file: RedbStore::create(&dir.path().join("ledger.redb"), 1 << 20).expect("a new store"),
            batch: Batch::default(),
            seq: 0,
            present: BTreeMap::new(),
            keys: Vec::new(),
            purged: BTreeSet::new(),
        };
        for step in steps {
            world.take(step);
        }
        world.commit();
        same(&world.memory, &world.file, &world.keys);
    }
}
