//! Blocks against the algorithm over single calls, as ccusage runs it, and by hand.

use proptest::prelude::*;

use super::*;
use crate::money::Pico;
use crate::rollup::{BUCKET_MS, bucket_of};
use crate::tokens::Tokens;

/// 2026-11-20T10:00:00Z.
const START: i64 = 1_795_168_800_000;
const MINUTE: i64 = 60_000;
const L: i64 = 5 * HOUR_MS;

/// One call: when, which model, how many tokens.
type Call = (i64, u32, u64);

fn agg((at_ms, _, input): Call) -> Agg {
    Agg {
        requests: 1,
        tokens: Tokens {
            input,
            output: 1,
            cache_read: 10,
            ..Tokens::default()
        },
        cost: Pico(i128::from(input) * 1_000),
        first_ms: at_ms,
        last_ms: at_ms,
        ..Agg::default()
    }
}

/// The rollup rows of these calls, in bucket order.
fn rows(calls: &[Call]) -> Vec<(u32, Dims, Agg)> {
    let mut rows = std::collections::BTreeMap::new();
    for &call in calls {
        let mut dims = Dims::default();
        dims[Dimension::Model as usize] = call.1;
        rows.entry((bucket_of(call.0), dims))
            .or_insert_with(Agg::empty)
            .add(&agg(call));
    }
    rows.into_iter()
        .map(|((bucket, dims), agg)| (bucket, dims, agg))
        .collect()
}

fn blocks_of(query: &BlocksQuery, calls: &[Call], now_ms: i64) -> Vec<Block> {
    let mut blocks = Blocks::new(query, IdFilter::default());
    for (bucket, dims, agg) in rows(calls) {
        blocks.add(bucket, &dims, &agg);
    }
    blocks.finish(now_ms, &|_, id| format!("m{id}").into())
}

/// Start, end, gap, active, calls, tokens.
type Plain = (i64, i64, bool, bool, u64, u64);

fn plain(block: &Block) -> Plain {
    let agg = &block.agg;
    (
        block.start_ms,
        block.end_ms,
        block.gap,
        block.active,
        agg.requests,
        agg.tokens.total(),
    )
}

/// The algorithm over single calls.
fn by_call(calls: &[Call], now_ms: i64) -> Vec<Plain> {
    let mut calls = calls.to_vec();
    calls.sort_unstable();
    let floor = |t: i64| t - t.rem_euclid(HOUR_MS);
    let close = |start: i64, block: &[Call]| {
        let last = block[block.len() - 1].0;
        let active = now_ms - last < L && now_ms < start + L;
        let tokens = block.iter().map(|&call| agg(call).tokens.total()).sum();
        (start, start + L, false, active, block.len() as u64, tokens)
    };
    let mut found = Vec::new();
    let Some(&first) = calls.first() else { return found };
    let mut start = floor(first.0);
    let mut block = vec![first];
    for &call in &calls[1..] {
        let last = block[block.len() - 1].0;
        if call.0 - start > L || call.0 - last > L {
            found.push(close(start, &block));
            if call.0 - last > L {
                found.push((last + L, call.0, true, false, 0, 0));
            }
            start = floor(call.0);
            block.clear();
        }
        block.push(call);
    }
    found.push(close(start, &block));
    found
}

#[test]
fn a_block_begins_at_the_full_utc_hour_and_lasts_five() {
    let calls = [
        (START + 20 * MINUTE, 1, 5),
        (START + 280 * MINUTE, 2, 6),
        (START + 301 * MINUTE, 1, 7),
    ];
    let blocks = blocks_of(&BlocksQuery::default(), &calls, START + 302 * MINUTE);
    assert_eq!(
        blocks.iter().map(plain).collect::<Vec<_>>(),
        [
            (START, START + L, false, false, 2, 33),
            (START + L, START + 2 * L, false, true, 1, 18),
        ]
    );
    assert_eq!(blocks[0].models, [Name::from("m1"), Name::from("m2")]);
    assert_eq!((blocks[0].burn.clone(), blocks[1].burn.clone()), (None, None));
}

#[test]
fn a_pause_over_five_hours_is_a_gap() {
    for (pause, expected) in [
        // Exactly five hours after a call in the block's first minute: beyond the block, but no gap.
        (L, vec![(START, false), (START + L, false)]),
        (
            L + 1,
            vec![(START, false), (START + MINUTE + L, true), (START + L, false)],
        ),
    ] {
        let calls = [(START + MINUTE, 1, 5), (START + MINUTE + pause, 1, 5)];
        let blocks = blocks_of(&BlocksQuery::default(), &calls, START + 30 * L);
        let shape: Vec<_> = blocks.iter().map(|block| (block.start_ms, block.gap)).collect();
        assert_eq!(shape, expected);
    }
}

#[test]
fn a_call_at_the_very_end_still_belongs_to_the_block() {
    let alone = [(START, 1, 5), (START + L - MINUTE, 1, 5), (START + L, 1, 5)];
    assert_eq!(blocks_of(&BlocksQuery::default(), &alone, START + 3 * L).len(), 1);
    // The approximation: with a later call in its bucket it is counted in the next block.
    let crowded = [(START, 1, 5), (START + L, 1, 5), (START + L + 1, 1, 5)];
    let calls: Vec<_> = blocks_of(&BlocksQuery::default(), &crowded, START + 3 * L)
        .iter()
        .map(|b| b.agg.requests)
        .collect();
    assert_eq!(calls, [1, 2]);
}

#[test]
fn burn_and_projection_of_the_active_block() {
    // 100 minutes apart: 2,022 tokens and 0.000002 dollars.
    let calls = [(START, 1, 1_000), (START + 100 * MINUTE, 1, 1_000)];
    let query = BlocksQuery {
        active_only: true,
        ..BlocksQuery::default()
    };
    let blocks = blocks_of(&query, &calls, START + 199 * MINUTE + 40_000);
    let burn = blocks[0].burn.clone().unwrap();
    assert_eq!(burn.remaining_minutes, 100);
    assert!((burn.tokens_per_minute - 20.22).abs() < 1e-9);
    assert!((burn.io_tokens_per_minute - 20.02).abs() < 1e-9);
    assert_eq!(burn.cost_per_hour, Pico(1_200_000));
    assert_eq!(burn.projected_tokens, 4_044);
    assert_eq!(burn.projected_cost, Pico(4_000_000));

    // Five hours after the last call, or at the block's end, nothing is active.
    assert!(blocks_of(&query, &calls, START + L).is_empty());
    assert_eq!(blocks_of(&BlocksQuery::default(), &calls, START + L).len(), 1);
    // Calls at one instant have no rate.
    let same = [(START, 1, 5), (START, 1, 5)];
    assert_eq!(blocks_of(&query, &same, START + 1)[0].burn, None);
}

#[test]
fn windows_choose_blocks_by_their_begin() {
    let calls = [(START + MINUTE, 1, 5), (START + L + MINUTE, 1, 5)];
    let query = BlocksQuery {
        from_ms: Some(START + 1),
        to_ms: Some(START + L + 1),
        ..BlocksQuery::default()
    };
    let blocks = blocks_of(&query, &calls, START + 9 * L);
    assert_eq!(
        blocks.iter().map(|block| block.start_ms).collect::<Vec<_>>(),
        [START + L]
    );
    // A block that begins in the window is fed to its end.
    assert!(query.buckets().contains(&bucket_of(START + 2 * L - 1)));
    let short = BlocksQuery {
        hours: 1,
        ..BlocksQuery::default()
    };
    assert_eq!(
        blocks_of(&short, &calls, START + 9 * L)[0].end_ms,
        START + HOUR_MS
    );
}

#[test]
fn wrong_queries_are_refused() {
    assert_eq!(BlocksQuery::default().validate(), Ok(()));
    let long = BlocksQuery {
        hours: MAX_HOURS + 1,
        ..BlocksQuery::default()
    };
    assert!(
        long.validate()
            .unwrap_err()
            .to_string()
            .contains("hours: 745 hours")
    );
    let backwards = BlocksQuery {
        from_ms: Some(9),
        to_ms: Some(1),
        ..BlocksQuery::default()
    };
    assert!(backwards.validate().is_err());
}

/// Calls with short and long pauses, none on a bucket's very boundary.
fn calls() -> impl Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![
        6 => 0..30 * MINUTE,
        2 => 0..4 * HOUR_MS,
        2 => L - 3 * MINUTE..L + 3 * MINUTE,
        1 => L..40 * HOUR_MS,
    ];
    prop::collection::vec((pause, 1..3_u32, 0..1_000_u64), 0..60).prop_map(|steps| {
        let mut at = START;
        (steps.into_iter())
            .map(|(pause, model, tokens)| {
                at += pause;
                at += i64::from(at.rem_euclid(BUCKET_MS) == 0);
                (at, model, tokens)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn buckets_give_the_blocks_that_calls_give(calls in calls(), later in 0..6 * HOUR_MS) {
        let now = calls.last().map_or(START, |call| call.0) + later;
        let found: Vec<Plain> = blocks_of(&BlocksQuery::default(), &calls, now).iter().map(plain).collect();
        prop_assert_eq!(found, by_call(&calls, now));
    }

    #[test]
    fn the_open_block_is_the_same_however_little_is_read(
        calls in calls(),
        now in -8 * HOUR_MS..8 * HOUR_MS,
        pages in prop::collection::vec(0..8 * 24_u32, 1..4),
        more in calls(),
        later in 0..8 * HOUR_MS,
    ) {
        let query = BlocksQuery { active_only: true, ..BlocksQuery::default() };
        let now = calls.last().map_or(START, |call| call.0) + now;
        let name = |_, id: u32| Name::from(format!("m{id}"));
        let expected = blocks_of(&query, &calls, now);
        let read = |calls: &[Call], blocks: Blocks, from: u32, now| {
            let mut blocks = blocks;
            for (bucket, dims, agg) in rows(calls).into_iter().filter(|row| row.0 >= from) {
                blocks.add(bucket, &dims, &agg);
            }
            blocks.latest(now, &name)
        };
        // More than a block back, however much that is, or everything.
        let mut known = None;
        for back in pages {
            let from = bucket_of(now - L).saturating_sub(back);
            let found = read(&calls, Blocks::since(&query, IdFilter::default(), from, now), from, now);
            if let Some(found) = found {
                prop_assert_eq!(&found.blocks, &expected);
                known = Some(found.resume);
            }
        }
        let all = read(&calls, Blocks::since(&query, IdFilter::default(), 0, now), 0, now).unwrap();
        prop_assert_eq!(&all.blocks, &expected);
        // From where it was found, also after more calls.
        for resume in [all.resume].into_iter().chain(known).flatten() {
            let from_there = |calls: &[Call], now| {
                read(calls, Blocks::new(&query, IdFilter::default()), resume, now).unwrap().blocks
            };
            prop_assert_eq!(&from_there(&calls, now), &expected);
            let first = rows(&calls).into_iter().map(|row| row.0).find(|bucket| *bucket >= resume);
            let shift = first.map_or(0, |bucket| bucket_start_ms(bucket) - START);
            let more: Vec<Call> = more.iter().map(|call| (call.0 + shift, call.1, call.2)).collect();
            let both = [calls.clone(), more].concat();
            prop_assert_eq!(from_there(&both, now + later), blocks_of(&query, &both, now + later));
        }
    }
}
