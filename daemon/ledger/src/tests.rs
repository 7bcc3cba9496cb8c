//! The ledger over a store in memory that fails on demand: what the store itself must do is shown elsewhere.

mod adjust;
mod blocks;
mod books;
mod care;
mod faulty;
mod official;
mod once;
mod promises;
mod reads;
mod trouble;
mod witness;

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tokmon_core::id::Key;
use tokmon_core::observation::{Attribution, Observation, Provenance};
use tokmon_core::price::PriceBook;
use tokmon_core::report::Query;
use tokmon_core::rollup::Agg;
use tokmon_core::tokens::Tokens;
use tokmon_core::waste::WasteRules;

use crate::place::{Kind, Opened};
use crate::store::Store;
use crate::{Ledger, ManualClock, Settings};
use faulty::Faulty;

/// 2026-11-20T12:00:00Z
const NOON: i64 = 1_795_176_000_000;

/// A ledger whose store and clock the test holds.
struct Bench {
    ledger: Ledger,
    store: Arc<Faulty>,
    clock: Arc<ManualClock>,
}

fn settings() -> Settings {
    Settings {
        book: PriceBook::bundled(),
        waste: WasteRules::default(),
        runaway: Default::default(),
        keep_notes: true,
        zone: TimeZone::UTC,
        user: "me".into(),
        cache_bytes: 16 << 20,
    }
}

impl Bench {
    fn new() -> Bench {
        Bench::on(Arc::new(Faulty::default()), NOON)
    }

    /// Opens what is in a store, as after a restart.
    fn on(store: Arc<Faulty>, now_ms: i64) -> Bench {
        let clock = Arc::new(ManualClock::new(now_ms));
        let held = store.clone();
        let open = move |_: &Path| -> Opened { held.reopened() };
        let held = store.clone();
        let inspect = move |_: &Path| held.verify();
        let kind = Kind {
            open: Arc::new(open),
            inspect: Arc::new(inspect),
        };
        let ledger = Ledger::open_with(Path::new("unused"), kind, settings(), clock.clone()).unwrap();
        Bench { ledger, store, clock }
    }

    /// Closes the ledger and opens it again.
    async fn restart(self) -> Bench {
        self.ledger.close().await.unwrap();
        Bench::on(self.store, NOON)
    }

    fn total(&self) -> Agg {
        self.ledger.report(&Query::everything()).unwrap().0.total
    }
}

/// One call: 1,500 tokens in, 800 out, on `claude-sonnet-4-5`.
fn call(key: &str) -> Observation {
    Observation {
        key: Key::new(0, &[key]),
        at_ms: NOON - 1_000,
        who: Attribution {
            agent: "claude-code".into(),
            session: "s".into(),
            project: "/p".into(),
            user: "".into(),
            tool: "".into(),
            context: None,
        },
        provider: "anthropic".into(),
        model: "claude-sonnet-4-5".into(),
        tokens: Tokens {
            input: 1_500,
            output: 800,
            ..Tokens::default()
        },
        source: Provenance {
            kind: "test".into(),
            path: "a.jsonl".into(),
            offset: 0,
            lines: 1,
        },
        ..Observation::default()
    }
}

/// The call as a line of a file, with so many output tokens.
fn line(key: &str, path: &str, offset: u64, output: u64) -> Observation {
    let mut seen = call(key);
    seen.tokens.output = output;
    seen.source.path = path.into();
    seen.source.offset = offset;
    seen.line_hash = offset + 1;
    seen
}
