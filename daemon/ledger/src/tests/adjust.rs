//! Limits that follow what is used, through the writer: once per window, within bounds, and the same when read back.

use proptest::prelude::*;
use tokmon_core::audit::What;
use tokmon_core::budget::{Action, Adjust, Budget, Span};
use tokmon_core::tokens::Tokens;

use super::faulty::Fault;
use super::promises::hard;
use super::{Bench, NOON, call};
use crate::ActsQuery;

const DAY: i64 = 24 * 60 * 60 * 1000;
const BOUNDS: std::ops::RangeInclusive<u64> = 500..=2_000;

fn following() -> Budget {
    Budget {
        action: Action::Deny,
        window: Span::Day,
        adjust: Some(Box::new(Adjust {
            min: 500,
            max: 2_000,
            step_percent: 30,
            ..Adjust::default()
        })),
        ..hard("d", 1_000)
    }
}

impl Bench {
    fn limit(&self) -> u64 {
        self.ledger.state().budgets["d"].budget().limit_tokens
    }

    async fn spend(&self, key: &str, at_ms: i64, tokens: u64) {
        let mut seen = call(key);
        seen.at_ms = at_ms;
        seen.tokens = Tokens {
            input: tokens,
            ..Tokens::default()
        };
        self.ledger.record(vec![seen]).await.unwrap();
    }

    fn adjustments(&self) -> usize {
        let query = ActsQuery {
            page_size: 1_000,
            ..ActsQuery::default()
        };
        let acts = self.ledger.acts(&query).unwrap().items;
        acts.iter().filter(|act| act.what == What::BudgetAdjusted).count()
    }
}

#[tokio::test]
async fn a_store_that_fails_at_the_turn_still_decides_once() {
    for fault in [Fault::LostBefore, Fault::LostAfter, Fault::Panic] {
        decides_once(fault).await;
    }
}

async fn decides_once(fault: Fault) {
    let bench = Bench::new();
    bench.ledger.set_budget(following()).await.unwrap();
    for day in 0..3 {
        bench.clock.set(NOON + day * DAY);
        bench.spend(&format!("k{day}"), NOON + day * DAY, 1_900).await;
    }
    assert_eq!((bench.limit(), bench.adjustments()), (1_000, 2));
    bench.clock.set(NOON + 3 * DAY);
    assert!(bench.ledger.has_expired());
    bench.store.set(fault);
    drop(bench.ledger.expire().await);
    bench.store.set(Fault::None);
    bench.ledger.expire().await.unwrap();
    assert_eq!((bench.limit(), bench.adjustments()), (1_300, 3));
    assert!(!bench.ledger.has_expired());
    bench.ledger.expire().await.unwrap();
    assert_eq!(bench.adjustments(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn bounds_hold_and_a_replay_gives_the_same_limits(
        steps in prop::collection::vec((0i64..30, prop::collection::vec(1u64..4_000, 0..3)), 1..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            bench.ledger.set_budget(following()).await.unwrap();
            let (mut now, mut turns) = (NOON, 0);
            for (step, (hours, calls)) in steps.iter().enumerate() {
                let later = now + hours * DAY / 24;
                let turned = later / DAY != now / DAY;
                turns += usize::from(turned);
                now = later;
                bench.clock.set(now);
                let before = bench.limit();
                bench.ledger.expire().await.unwrap();
                let limit = bench.limit();
                prop_assert!(BOUNDS.contains(&limit));
                prop_assert!(turned || limit == before, "it changed inside a window");
                prop_assert!(limit.abs_diff(before) <= before * 30 / 100);
                for (n, tokens) in calls.iter().enumerate() {
                    bench.spend(&format!("{step}-{n}"), now, *tokens).await;
                    prop_assert_eq!(bench.limit(), limit);
                }
                prop_assert_eq!(bench.adjustments(), turns);
            }
            // Read back from the entries alone, as after a kill.
            let bare = Bench::on(bench.store.clone(), now);
            let (here, there) = (bench.ledger.state(), bare.ledger.state());
            prop_assert_eq!(here.budgets["d"].budget(), there.budgets["d"].budget());
            prop_assert_eq!(here.next_expiry_ms, there.next_expiry_ms);
            bare.ledger.expire().await.unwrap();
            prop_assert_eq!(bare.adjustments(), turns);
            Ok(())
        })?;
    }
}
