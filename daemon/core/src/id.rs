//! Content-derived keys: the same call has the same key, whoever saw it and however often.

/// What makes a call unique.
///
/// `day` only gives keys locality on disk; it must be the same in every copy of the call. Sources whose
/// copies may carry other timestamps (Claude Code's resumed sessions) use day 0.
///
/// Files make keys from what identifies a call in every copy of the file. Telemetry that carries the provider's id of
/// the request or response uses [`Key::of_request`]; without one, the source's kind, the session, the event's own time
/// and number (or the span's id), and the token figures, on the day of the event. Two sources need not come to the same
/// key for the same call: what they know in common (`request_id`, or else the figures) joins them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Days since the Unix epoch, or 0.
    pub day: u32,
    /// First 12 bytes of BLAKE3 over the length-prefixed parts, or see [`Key::of_run`].
    pub hash: [u8; 12],
}

impl Key {
    /// Makes a key from the parts that identify the call. The order and the boundaries of the parts count.
    pub fn new(day: u32, parts: &[&str]) -> Key {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut hash = [0; 12];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..12]);
        Key { day, hash }
    }

    /// The key of a call that its source knows by the provider's id of the request or response.
    pub fn of_request(request_id: &str) -> Key {
        Key::new(0, &["request", request_id])
    }

    /// The key of a call that nothing identifies: the `number`-th that a door took in since it was opened. `run` is of
    /// that door alone. Those of one day lie side by side on disk, in the order in which they came.
    pub fn of_run(day: u32, run: u64, number: u32) -> Key {
        let mut hash = [0; 12];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        hash[4..].copy_from_slice(&run.to_be_bytes());
        Key { day, hash }
    }

    /// The day of an instant, for keys whose time is part of their identity.
    pub fn day_of(at_ms: i64) -> u32 {
        u32::try_from(at_ms.div_euclid(86_400_000)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_between_parts_count() {
        assert_ne!(Key::new(0, &["ab", "c"]), Key::new(0, &["a", "bc"]));
        assert_eq!(Key::new(0, &["ab", "c"]), Key::new(0, &["ab", "c"]));
    }

    #[test]
    fn calls_without_identity_keep_apart_and_in_order() {
        let key = |run, number| Key::of_run(7, run, number);
        assert!(key(9, 1) < key(9, 2) && key(9, 255) < key(1, 256));
        assert_ne!(key(1, 5), key(2, 5));
    }

    #[test]
    fn days_before_the_epoch_are_zero() {
        assert_eq!(Key::day_of(-1), 0);
        assert_eq!(Key::day_of(86_400_000), 1);
    }
}
