//! Drills: what must not get lost is thrown at everything that can go wrong below it.
//!
//! `TOKMON_DRILLS=n` repeats the random ones n times as often (nightly: 50).

mod damage;
mod disk;
mod files;
mod fixture;
mod full;
mod kill;
mod model;
mod power;

use tokmon_core::entry::{Body, Entry};
use tokmon_core::id::Key;

/// How often a drill with this many rounds is run.
fn rounds(usual: u64) -> u64 {
    let times = std::env::var("TOKMON_DRILLS").ok().and_then(|n| n.parse().ok());
    usual * times.unwrap_or(1_u64)
}

/// A small generator of numbers that look random: a failing round can be repeated by its number.
struct Dice(u64);

impl Dice {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }
}

/// The key of the call that an entry brings.
fn key_of(entry: &Entry) -> Option<Key> {
    match &entry.body {
        Body::Usage(record) | Body::Amend { record, .. } => Some(record.seen.key),
        _ => None,
    }
}
