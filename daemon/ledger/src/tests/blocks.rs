//! The block that is open now is the one that all of history gives, whatever came in when.

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokmon_core::blocks::{Block, BlocksQuery};
use tokmon_core::report::Filter;

use super::faulty::Fault;
use super::{Bench, NOON, call};

const HOUR_MS: i64 = 3_600_000;

fn of_agent(agent: &str, active_only: bool) -> BlocksQuery {
    let filter = Filter {
        agents: vec![agent.to_owned()],
        ..Filter::default()
    };
    BlocksQuery {
        filter,
        active_only,
        ..BlocksQuery::default()
    }
}

/// What is asked for in bounded time, and what all of history says.
fn both(bench: &Bench, agent: &str) -> (Vec<Block>, Vec<Block>) {
    let quick = bench.ledger.blocks(&of_agent(agent, true)).unwrap();
    let all = bench.ledger.blocks(&of_agent(agent, false)).unwrap();
    (quick, all.into_iter().filter(|block| block.active).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_open_block_is_that_of_all_of_history(
        steps in prop::collection::vec((0..3_usize, 0..400_i64, any::<bool>(), 0..90_i64), 1..80),
    ) {
        let runtime = Runtime::new().unwrap();
        let bench = Bench::new();
        runtime.block_on(async {
            for (number, (agent, back, late, forth)) in steps.into_iter().enumerate() {
                bench.clock.advance(forth * 60_000);
                let now = crate::Clock::now_ms(&*bench.clock);
                // Some calls are read in long after they were made.
                let back_ms = if late { back * HOUR_MS / 4 } else { back * 1_000 };
                let mut seen = call(&format!("call {number}"));
                seen.at_ms = (now - back_ms).max(NOON - 90 * HOUR_MS) + 1;
                seen.who.agent = ["a", "b", "c"][agent].into();
                bench.ledger.record(vec![seen]).await.unwrap();
                for agent in ["a", "b", "nobody"] {
                    let (quick, all) = both(&bench, agent);
                    assert_eq!(quick, all, "{agent} after {number} calls");
                }
            }
        });
    }
}

#[tokio::test]
async fn a_call_that_came_in_although_the_store_failed_moves_the_block_too() {
    let bench = Bench::new();
    let at = |hours: i64| {
        let mut seen = call(&format!("call {hours}"));
        seen.at_ms = NOON - hours * HOUR_MS - 1;
        seen
    };
    for hours in 0..31 {
        bench.ledger.record(vec![at(hours)]).await.unwrap();
    }
    let (before, all) = both(&bench, "claude-code");
    assert_eq!(before, all);
    bench.store.set(Fault::LostAfter);
    // Whoever asked may have heard of the failure; the call is there.
    drop(bench.ledger.record(vec![at(33)]).await);
    let (after, all) = both(&bench, "claude-code");
    assert_eq!(after, all);
    assert_ne!(before[0].start_ms, after[0].start_ms);
}
