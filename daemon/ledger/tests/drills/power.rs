//! Power cuts: whatever part of the writes since the last sync reached the disk, in whatever order, the
//! ledger opens, holds every acknowledged entry, and nothing but whole batches.

use tokmon_ledger::store::samples::{amend, call, calls};
use tokmon_ledger::store::{Batch, RedbStore, Store};

use crate::disk::{Disk, Event, apply};
use crate::{Dice, rounds};

const CACHE: usize = 1 << 20;

fn open(disk: &Disk) -> tokmon_ledger::store::Result<RedbStore> {
    let disk = disk.clone();
    RedbStore::on_backend(move || Ok(disk.clone()), CACHE)
}

/// Appends batches of many sizes, some with amendments and positions, and notes each acknowledgement.
/// Returns the end of each batch.
fn work(disk: &Disk, dice: &mut Dice, batches: u64) -> Vec<u64> {
    let store = open(disk).expect("an empty store");
    disk.record();
    let mut ends = vec![0];
    for _ in 0..batches {
        let last = *ends.last().unwrap_or(&0);
        let mut batch: Batch = calls(last, 1 + dice.below(40));
        let mut end = last + batch.entries.len() as u64;
        let first = batch.entries.first().map(|s| s.entry.clone());
        if let (true, Some(entry)) = (dice.below(3) == 0, first) {
            let at_ms =
                tokmon_ledger::store::samples::START_MS + i64::try_from(entry.seq).unwrap_or(0) * 60_000;
            let mut better = call(entry.seq, at_ms);
            better.seen.tokens.output += 1;
            end += 1;
            batch
                .entries
                .push(amend(end, entry.seq, call(entry.seq, at_ms), better));
        }
        if dice.below(4) == 0 {
            batch.checkpoint = Some(vec![7; dice.below(20_000) as usize]);
        }
        store.append(&batch).expect("there is room");
        disk.acked(end);
        ends.push(end);
    }
    ends
}

/// The disk after a cut behind the event at `cut`.
fn image(base: &[u8], events: &[Event], cut: usize, dice: &mut Dice) -> (Vec<u8>, u64) {
    let mut image = base.to_vec();
    let synced = events[..cut]
        .iter()
        .rposition(|e| matches!(e, Event::Sync))
        .unwrap_or(0);
    let mut acked = 0;
    for event in &events[..synced] {
        apply(&mut image, event);
    }
    for event in &events[..cut] {
        if let Event::Acked(seq) = event {
            acked = *seq;
        }
    }
    let kind = dice.below(6);
    let pending = &events[synced..cut];
    let chosen = dice.below(pending.len().max(1) as u64) as usize;
    for (at, event) in pending.iter().enumerate() {
        let header = matches!(event, Event::Write(0, _));
        let reaches = match kind {
            0 => false,
            1 => true,
            2 => header,
            3 => !header,
            4 => at != chosen,
            _ => dice.below(2) == 0,
        };
        match event {
            // The length may change before or after the bytes.
            Event::Length(_) if reaches || dice.below(2) == 0 => apply(&mut image, event),
            Event::Write(offset, data) if reaches => {
                // Sectors reach the disk one by one.
                let torn = kind == 5 && dice.below(3) == 0;
                for (sector, bytes) in data.chunks(512).enumerate() {
                    let start = offset + sector as u64 * 512;
                    let fits = start as usize + bytes.len() <= image.len();
                    if fits && !(torn && dice.below(2) == 0) {
                        apply(&mut image, &Event::Write(start, bytes.to_vec()));
                    }
                }
            }
            _ => {}
        }
    }
    (image, acked)
}

#[test]
fn acknowledged_entries_survive_every_cut() {
    let mut checked = 0;
    for round in 0..rounds(4) {
        let mut dice = Dice(round);
        let disk = Disk::default();
        drop(open(&disk).expect("an empty store"));
        let base = disk.bytes();
        let ends = work(&disk, &mut dice, 12);
        let events = disk.recorded();
        let expected = open(&disk)
            .expect("no cut")
            .entries_after(0, usize::MAX)
            .expect("entries");
        for _ in 0..60 {
            let cut = 1 + dice.below(events.len() as u64) as usize;
            let (image, acked) = image(&base, &events, cut, &mut dice);
            let place = format!("round {round}, cut after event {cut} of {}", events.len());
            let store = open(&Disk::with(image)).unwrap_or_else(|e| panic!("{place}: {e}"));
            let last = store.last_seq().expect("the last seq");
            assert!(
                last >= acked,
                "{place}: {acked} was acknowledged, {last} is there"
            );
            assert!(ends.contains(&last), "{place}: half a batch up to {last}");
            let entries = store.entries_after(0, usize::MAX).expect("entries");
            assert!(entries[..] == expected[..last as usize], "{place}: other entries");
            assert_eq!(
                store.verify().expect("verified").findings,
                Vec::<String>::new(),
                "{place}"
            );
            store
                .append(&calls(last, 2))
                .unwrap_or_else(|e| panic!("{place}: {e}"));
            checked += 1;
        }
    }
    assert_eq!(checked, rounds(4) * 60);
}
