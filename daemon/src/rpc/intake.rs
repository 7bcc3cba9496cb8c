//! What records from the wire are completed with, and what those of one stream share.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokmon_core::Name;
use tokmon_core::id::Key;

/// Names of a stream that are kept to be used again.
const SHARED: usize = 64;

/// What the daemon adds to a record that it takes from the wire.
pub(super) struct Intake<'a> {
    /// Now, milliseconds.
    pub now_ms: i64,
    /// User of records that name none.
    user: &'a str,
    /// The last name that fell into each slot; none when nothing is shared.
    names: Vec<Name>,
}

impl<'a> Intake<'a> {
    /// For a single record.
    pub(super) fn one(now_ms: i64, user: &'a str) -> Intake<'a> {
        Intake {
            now_ms,
            user,
            names: Vec::new(),
        }
    }

    /// For a stream of records, which name the same again and again: memory for a name is had once, not for each record.
    pub(super) fn stream(user: &'a str) -> Intake<'a> {
        Intake {
            names: vec![Name::default(); SHARED],
            ..Intake::one(0, user)
        }
    }

    /// A name.
    pub(super) fn name(&mut self, text: &str) -> Name {
        if text.is_empty() {
            return Name::default();
        }
        let Some(kept) = self.names.get_mut(slot(text)) else {
            return text.into();
        };
        if **kept != *text {
            *kept = text.into();
        }
        kept.clone()
    }

    /// A user's name; of records that name none the usual one.
    pub(super) fn user(&mut self, text: &str) -> Name {
        self.name(if text.is_empty() { self.user } else { text })
    }
}

/// Names that belong together mostly differ at their ends.
fn slot(text: &str) -> usize {
    let end = text.as_bytes().iter().rev().take(8);
    let mixed = end.fold(text.len(), |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    mixed % SHARED
}

/// A key for a record that nothing identifies: like no other, and beside those that came before it.
pub(super) fn unique_key(day: u32) -> Key {
    // When this program started, in milliseconds, and chance: what tells its records from those of others.
    static RUN: LazyLock<u64> = LazyLock::new(|| {
        let (time, chance) = uuid::Uuid::now_v7().as_u64_pair();
        (time >> 16) << 24 | chance & 0xff_ffff
    });
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // Whoever takes in four thousand million goes on as if started a millisecond later.
    let run = RUN.wrapping_add((number >> 32) << 24);
    Key::of_run(day, run, number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_was_said_whoever_shares_them() {
        let mut intake = Intake::stream("me");
        let mut single = Intake::one(5, "me");
        for n in 0..10_000 {
            let text = format!("name-{}", n * 7919 % 300);
            assert_eq!(*intake.name(&text), *text);
            assert_eq!(*single.name(&text), *text);
        }
        assert_eq!(&*intake.user(""), "me");
        assert_eq!(&*intake.user("you"), "you");
        assert_eq!(&*intake.name(""), "");
        let (a, b) = (intake.name("project"), intake.name("project"));
        assert!(std::sync::Arc::ptr_eq(&a, &b));
    }

    #[test]
    fn records_without_identity_have_keys_of_their_own() {
        let mut keys: Vec<Key> = (0..1_000).map(|_| unique_key(20_000)).collect();
        assert!(keys.is_sorted());
        keys.dedup();
        assert_eq!(keys.len(), 1_000);
    }
}
