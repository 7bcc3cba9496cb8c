//! Files that are read as a whole: documents that are rewritten, and databases.
//!
//! Their calls are found again at every reading. What was handed on already is remembered by two small hashes for
//! each call, so that a growing document costs the ledger only what is new in it.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use tokmon_core::limits::{MAX_BESIDE_BYTES, MAX_DOCUMENT_BYTES, MAX_PARSER_STATE};
use tokmon_core::observation::Observation;

use super::feed::tell_latest;
use super::{Entry, Form, Mark, Origin, Reading, Scanner, Stat, failure};
use crate::agents::Notes;
use crate::open::open_regular;
use crate::sink::{Sink, SinkError};
use crate::sqlite::Trouble;

/// A write that lasts longer is worth a word.
const LONG_WRITE_MS: i64 = 60_000;

impl<S: Sink> Scanner<S> {
    /// Reads a document or a database and takes what is new in it.
    pub(super) fn read_whole(
        &mut self,
        source: usize,
        form: &Form,
        entry: Entry,
        origin: Origin,
    ) -> Result<(), SinkError> {
        let mut before = entry;
        loop {
            let (after, more) = match self.read_part(source, form, &before, &origin) {
                Some(part) => part,
                None => return Ok(()),
            };
            self.done(source, &origin.path, &before, after.clone());
            if !more || self.shared.stopping() {
                return Ok(());
            }
            self.flush(source)?;
            before = after;
        }
    }

    /// Reads as much as the reader takes at once. `None`: it cannot be read now.
    fn read_part(
        &mut self,
        source: usize,
        form: &Form,
        entry: &Entry,
        origin: &Origin,
    ) -> Option<(Entry, bool)> {
        let path = Path::new(&*origin.path);
        let now_ms = self.shared.now_ms();
        let (mut told, state) = Told::unpack(&entry.state);
        let agent = self.roots[source].agent.clone();
        let mut notes = Notes::new(agent.name(), origin, now_ms, state, &mut self.counters);
        let read = match form.read {
            // Made a moment ago, and still to be written.
            Reading::Database(_) if entry.seen.size == 0 => Ok(entry.seen),
            Reading::Database(read) => read(path, &mut notes).map(|()| entry.seen),
            Reading::Document(read) => match bytes(path) {
                // Made a moment ago, and still to be written.
                Ok((stat, bytes)) if bytes.is_empty() => Ok(stat),
                Ok((stat, bytes)) if bytes.len() as u64 > MAX_DOCUMENT_BYTES => {
                    Err(Trouble::Unusable(format!(
                        "a document of {} bytes; at most {MAX_DOCUMENT_BYTES} are read",
                        stat.size
                    )))
                }
                Ok((stat, bytes)) => {
                    let read = read(&bytes, &mut notes).map(|()| stat);
                    read.map_err(|problem| Trouble::Unusable(problem.0))
                }
                Err(error) => Err(error.into()),
            },
            Reading::Lines(_) => return None,
        };
        let (mut found, state, more) = notes.close();
        let stat = match read {
            // Not to its end: with this time the file counts as changed.
            Ok(stat) if more => Stat { mtime_ns: 0, ..stat },
            Ok(stat) => stat,
            Err(Trouble::Empty) => entry.seen,
            // What is broken is not read again until it changes.
            Err(Trouble::Unusable(problem)) => {
                found.fail(0, problem);
                entry.seen
            }
            // What was read counts, and the next look finds the rest.
            Err(Trouble::Busy) => {
                if now_ms.saturating_sub(entry.seen.mtime_ms()) > LONG_WRITE_MS {
                    let error = io::Error::other("it has been in the middle of a write for a while");
                    self.unreadable(source, &origin.path, &error);
                }
                Stat {
                    mtime_ns: 0,
                    ..entry.seen
                }
            }
            Err(Trouble::Io(kind, _)) if crate::walk::is_gone(&kind.into()) => return None,
            Err(Trouble::Io(kind, problem)) => {
                self.unreadable(source, &origin.path, &io::Error::new(kind, problem));
                return None;
            }
        };
        found.take_unknown(0);
        let met = std::mem::take(&mut found.unknown);
        self.shared.source(source, |status| status.met(&origin.path, met));
        for (offset, problem) in found.shown {
            self.shared.source(source, |status| {
                status.show(failure(&origin.path, offset, problem))
            });
        }
        let mut fresh = 0;
        let mut calls = found.observations;
        calls.retain(|call| {
            let news = told.tell(call);
            fresh += u64::from(news == News::Unknown);
            news != News::Known
        });
        tell_latest(&self.shared, source, &calls, now_ms);
        self.chunk.observations.append(&mut calls);
        self.chunk.positions.append(&mut self.counters.take());
        let after = Entry {
            read: stat,
            mark: Mark {
                offset: stat.size,
                tail_hash: 0,
            },
            state: told.pack(&state).into(),
            records: entry.records + fresh,
            failures: found.failures,
            ..entry.clone()
        };
        // A document may have changed between the look at its directory and the reading.
        let seen = if stat.mtime_ns == 0 { entry.seen } else { stat };
        Some((Entry { seen, ..after }, more))
    }
}

/// A whole file, and what it was when it was opened; one byte more than allowed when it is too long.
fn bytes(path: &Path) -> io::Result<(Stat, Vec<u8>)> {
    let file = open_regular(path)?;
    let meta = file.metadata()?;
    let mut bytes = Vec::new();
    if meta.len() <= MAX_DOCUMENT_BYTES {
        file.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut bytes)?;
    } else {
        bytes.resize(MAX_DOCUMENT_BYTES as usize + 1, 0);
    }
    Ok((Stat::of(&meta), bytes))
}

/// The beginning of a file beside the one that is read, as far as it is wanted; `None`: it cannot be had.
pub(super) fn beside(path: &Path, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = most.min(MAX_BESIDE_BYTES) as u64;
    open_regular(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Bytes for one call.
const WIDTH: usize = 12;
/// Calls of one file that are remembered, the latest: half of what a position may hold. Older ones are handed on
/// again, and the ledger knows them.
const REMEMBERED: usize = MAX_PARSER_STATE / 2 / WIDTH;

/// Whether a call was told of before.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Unknown,
    Changed,
    Known,
}

/// The calls of one file that were handed on, in order, each by a hash of its key and one of what is known of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    calls: Vec<(u64, u32)>,
    at: HashMap<u64, usize>,
}

impl Told {
    /// What [`Told::pack`] made; anything else is nothing.
    fn unpack(packed: &[u8]) -> (Told, Vec<u8>) {
        let split = packed.split_first_chunk::<4>().and_then(|(count, rest)| {
            let length = (u32::from_le_bytes(*count) as usize).checked_mul(WIDTH)?;
            rest.split_at_checked(length)
        });
        let Some((calls, state)) = split else {
            return (Told::default(), Vec::new());
        };
        let call = |bytes: &[u8]| {
            let (key, known) = bytes.split_first_chunk::<8>()?;
            Some((
                u64::from_le_bytes(*key),
                u32::from_le_bytes(known.try_into().ok()?),
            ))
        };
        let calls: Vec<(u64, u32)> = calls.chunks_exact(WIDTH).filter_map(call).collect();
        let at = calls
            .iter()
            .enumerate()
            .map(|(at, (key, _))| (*key, at))
            .collect();
        (Told { calls, at }, state.to_vec())
    }

    /// The calls and the parser's own state, which is dropped when it is too long.
    fn pack(&self, state: &[u8]) -> Vec<u8> {
        let kept = &self.calls[self.calls.len().saturating_sub(REMEMBERED)..];
        let mut packed = (kept.len() as u32).to_le_bytes().to_vec();
        for (key, known) in kept {
            packed.extend(key.to_le_bytes());
            packed.extend(known.to_le_bytes());
        }
        if state.len() <= MAX_PARSER_STATE / 2 - size_of::<u32>() {
            packed.extend(state);
        }
        if packed.len() == size_of::<u32>() {
            packed.clear();
        }
        packed
    }

    /// Notes a call and tells whether it was known.
    fn tell(&mut self, call: &Observation) -> News {
        let mut key = [0; 8];
        key.copy_from_slice(&call.key.hash[..8]);
        let key = u64::from_le_bytes(key);
        let known = fingerprint(call);
        match self.at.get(&key).map(|at| &mut self.calls[*at].1) {
            Some(before) if *before == known => News::Known,
            Some(before) => {
                *before = known;
                News::Changed
            }
            None => {
                self.at.insert(key, self.calls.len());
                self.calls.push((key, known));
                News::Unknown
            }
        }
    }
}

/// What of a call may still become better known.
fn fingerprint(call: &Observation) -> u32 {
    let mut hasher = blake3::Hasher::new();
    for count in call.tokens.to_array() {
        hasher.update(&count.to_le_bytes());
    }
    hasher.update(&call.at_ms.to_le_bytes());
    hasher.update(&call.reported_cost.map_or(0, |cost| cost.0).to_le_bytes());
    hasher.update(call.model.as_bytes());
    hasher.update(&[u8::from(call.failed)]);
    let mut first = [0; 4];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    u32::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokmon_core::id::Key;

    fn call(id: &str, output: u64) -> Observation {
        let mut call = Observation {
            key: Key::new(0, &[id]),
            ..Observation::default()
        };
        call.tokens.output = output;
        call
    }

    #[test]
    fn what_was_told_is_known_until_it_changes() {
        let mut told = Told::default();
        assert_eq!(told.tell(&call("a", 1)), News::Unknown);
        assert_eq!(told.tell(&call("a", 1)), News::Known);
        let (mut told, state) = Told::unpack(&told.pack(b"own"));
        assert_eq!(state, b"own");
        assert_eq!(told.tell(&call("a", 1)), News::Known);
        assert_eq!(told.tell(&call("a", 2)), News::Changed);
        assert_eq!(told.tell(&call("b", 2)), News::Unknown);
        assert_eq!(Told::default().pack(b""), b"");
    }

    #[test]
    fn little_is_kept_of_much_and_rubbish_is_nothing() {
        let mut told = Told::default();
        for number in 0..REMEMBERED + 10 {
            told.tell(&call(&number.to_string(), 1));
        }
        let packed = told.pack(&vec![0; MAX_PARSER_STATE]);
        assert!(packed.len() <= MAX_PARSER_STATE / 2 + 4);
        let (mut told, _) = Told::unpack(&packed);
        assert_eq!(told.tell(&call("0", 1)), News::Unknown);
        assert_eq!(told.tell(&call("10", 1)), News::Known);
        for rubbish in [&b""[..], b"{}", b"\xff\xff\xff\xff", b"\x02\0\0\0abc"] {
            assert_eq!(Told::unpack(rubbish), (Told::default(), Vec::new()));
        }
    }
}
