//! Rows as bytes: the envelope with its checksum, and the messages inside.
//!
//! redb does not check its pages when it reads them, so every value carries a CRC over its key and its
//! bytes: a flipped bit and a row in the wrong place are both noticed. Messages are protobuf: a field's
//! number is never used for anything else, and a new field is absent in old rows.

use prost::Message;
use tokmon_core::actor::Actor;
use tokmon_core::entry::{AmendReason, Rule};
use tokmon_core::money::Pico;

use super::super::{Result, StoreError};
use super::quota::QuotaRow;
use super::reservation::{
    BudgetLiftedRow, BudgetUnliftedRow, DeniedRow, ExtendedRow, ReservedRow, ResolvedRow,
};
use super::runaway::RunawayRow;
use super::task::{TaskAllocatedRow, TaskCompletedRow};
use super::witness::{AccountRow, SplitRow};

/// The envelope's version.
const VERSION: u8 = 1;
/// Version and checksum.
const HEAD: usize = 5;

/// Writes the envelope around what `body` appends. `key` is the row's key in bytes.
pub(super) fn seal(key: &[u8], out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
    body(out);
    let crc = checksum(key, &out[HEAD..]);
    out[1..HEAD].copy_from_slice(&crc.to_le_bytes());
}

/// Checks the envelope and yields what it holds. `what` names the row in the error.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8], what: &str) -> Result<&'a [u8]> {
    let damaged = |why: &str| StoreError::Damaged(format!("{what}: {why}"));
    let (head, body) = value
        .split_first_chunk::<HEAD>()
        .ok_or_else(|| damaged("the row is cut off"))?;
    let [version, crc @ ..] = *head;
    if version != VERSION {
        return Err(damaged("the row has an unknown format"));
    }
    if u32::from_le_bytes(crc) != checksum(key, body) {
        return Err(damaged("the checksum does not match"));
    }
    Ok(body)
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), body)
}

/// A message in its envelope.
pub(super) fn seal_message(key: &[u8], message: &impl Message, out: &mut Vec<u8>) {
    // Appending to a Vec cannot run out of room.
    seal(key, out, |out| message.encode_raw(out));
}

/// The inverse of [`seal_message`].
pub(super) fn unseal_message<M: Message + Default>(key: &[u8], value: &[u8], what: &str) -> Result<M> {
    M::decode(unseal(key, value, what)?).map_err(|e| StoreError::Damaged(format!("{what}: {e}")))
}

/// An entry.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryRow {
    /// When it was recorded: milliseconds after the record's own time, or after the epoch when it has none.
    #[prost(sint64, tag = "1")]
    pub(super) recorded_ms: i64,
    #[prost(
        oneof = "BodyRow",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 25, 26, 27, 28, 40, 41, 42"
    )]
    pub(super) body: Option<BodyRow>,
    #[prost(message, optional, tag = "30")]
    pub(super) by: Option<ActorRow>,
}

/// Who asked for it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ActorRow {
    #[prost(string, tag = "1")]
    pub(super) user: String,
    #[prost(string, tag = "2")]
    pub(super) client: String,
    #[prost(uint32, tag = "3")]
    pub(super) pid: u32,
}

impl From<&Actor> for ActorRow {
    fn from(actor: &Actor) -> ActorRow {
        ActorRow {
            user: actor.user.to_string(),
            client: actor.client.to_string(),
            pid: actor.pid,
        }
    }
}

impl From<ActorRow> for Actor {
    fn from(row: ActorRow) -> Actor {
        Actor {
            user: row.user.into(),
            client: row.client.into(),
            pid: row.pid,
        }
    }
}

/// What an entry says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum BodyRow {
    #[prost(message, tag = "2")]
    Usage(RecordRow),
    #[prost(message, tag = "3")]
    Amend(AmendRow),
    #[prost(message, tag = "4")]
    SessionReset(SessionResetRow),
    #[prost(string, tag = "5")]
    BudgetSet(String),
    #[prost(string, tag = "6")]
    BudgetRemoved(String),
    #[prost(message, tag = "7")]
    BudgetAlert(BudgetAlertRow),
    #[prost(string, tag = "8")]
    PriceSet(String),
    #[prost(message, tag = "9")]
    PriceRemoved(PriceRemovedRow),
    #[prost(message, tag = "10")]
    Purged(PurgedRow),
    #[prost(message, tag = "11")]
    BudgetLifted(BudgetLiftedRow),
    #[prost(message, tag = "12")]
    Reserved(ReservedRow),
    #[prost(message, tag = "13")]
    Extended(ExtendedRow),
    #[prost(message, tag = "14")]
    Resolved(ResolvedRow),
    #[prost(message, tag = "20")]
    LedgerReplaced(LedgerReplacedRow),
    #[prost(uint64, tag = "21")]
    Repriced(u64),
    #[prost(string, tag = "22")]
    Learned(String),
    #[prost(message, tag = "26")]
    TaskAllocated(TaskAllocatedRow),
    #[prost(message, tag = "27")]
    TaskCompleted(TaskCompletedRow),
    #[prost(string, tag = "28")]
    ApiSet(String),
    #[prost(message, tag = "23")]
    Denied(DeniedRow),
    #[prost(message, tag = "24")]
    BudgetUnlifted(BudgetUnliftedRow),
    #[prost(message, tag = "40")]
    Quota(QuotaRow),
    #[prost(string, tag = "41")]
    Official(String),
    #[prost(message, tag = "42")]
    Split(SplitRow),
    #[prost(message, tag = "25")]
    Runaway(RunawayRow),
}

/// A record. What nearly every record has comes first: those tags take one byte.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RecordRow {
    /// Ids: the first seven dimensions, the source's kind, its path.
    #[prost(uint32, repeated, tag = "1")]
    pub(super) ids: Vec<u32>,
    /// The buckets in their fixed order without the zeros at the end.
    #[prost(uint64, repeated, tag = "2")]
    pub(super) tokens: Vec<u64>,
    #[prost(sint64, tag = "3")]
    pub(super) at_ms: i64,
    #[prost(uint32, tag = "4")]
    pub(super) day: u32,
    /// First 8 bytes of the key's hash.
    #[prost(fixed64, tag = "5")]
    pub(super) hash_a: u64,
    /// Last 4 bytes of the key's hash.
    #[prost(fixed32, tag = "6")]
    pub(super) hash_b: u32,
    #[prost(uint64, tag = "7")]
    pub(super) offset: u64,
    #[prost(uint32, tag = "8")]
    pub(super) lines: u32,
    #[prost(fixed64, tag = "9")]
    pub(super) line_hash: u64,
    #[prost(fixed64, tag = "10")]
    pub(super) request_hash: u64,
    #[prost(message, optional, tag = "11")]
    pub(super) cost: Option<MoneyRow>,
    #[prost(message, optional, tag = "12")]
    pub(super) reported: Option<MoneyRow>,
    /// Milliseconds after `at_ms`.
    #[prost(sint64, tag = "13")]
    pub(super) owner_ms: i64,
    #[prost(message, repeated, tag = "14")]
    pub(super) waste: Vec<FindingRow>,
    #[prost(uint64, tag = "15")]
    pub(super) extra_output: u64,
    #[prost(uint32, tag = "16")]
    pub(super) tier: u32,
    #[prost(uint32, tag = "17")]
    pub(super) confidence: u32,
    #[prost(uint32, tag = "18")]
    pub(super) kind: u32,
    #[prost(bool, tag = "19")]
    pub(super) fast: bool,
    #[prost(bool, tag = "20")]
    pub(super) us_region: bool,
    #[prost(bool, tag = "21")]
    pub(super) failed: bool,
    #[prost(bool, tag = "22")]
    pub(super) sidechain: bool,
    #[prost(bool, tag = "23")]
    pub(super) owner_sidechain: bool,
    #[prost(string, optional, tag = "24")]
    pub(super) context: Option<String>,
    /// Id of the place; 0: nothing is known of it.
    #[prost(uint32, tag = "25")]
    pub(super) place: u32,
    /// The provider's id of the request or response.
    #[prost(string, tag = "26")]
    pub(super) request_id: String,
    /// The accounts of several witnesses.
    #[prost(message, repeated, tag = "31")]
    pub(super) heard: Vec<AccountRow>,
    #[prost(string, optional, tag = "30")]
    pub(super) task: Option<String>,
}

/// An amount of pico-dollars in two halves: 64 bits hold all but absurd ones.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct MoneyRow {
    /// The amount modulo 2⁶⁴, as a signed number.
    #[prost(sint64, tag = "1")]
    pub(super) low: i64,
    /// What is left, in 2⁶⁴.
    #[prost(sint64, tag = "2")]
    pub(super) high: i64,
}

impl From<Pico> for MoneyRow {
    fn from(amount: Pico) -> MoneyRow {
        let low = amount.0 as i64;
        MoneyRow {
            low,
            high: ((amount.0.wrapping_sub(i128::from(low))) >> 64) as i64,
        }
    }
}

impl From<MoneyRow> for Pico {
    fn from(row: MoneyRow) -> Pico {
        Pico((i128::from(row.high) << 64).wrapping_add(i128::from(row.low)))
    }
}

/// An amendment.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AmendRow {
    #[prost(uint64, tag = "1")]
    pub(super) replaces: u64,
    #[prost(uint32, tag = "2")]
    pub(super) reason: u32,
    #[prost(message, optional, tag = "3")]
    pub(super) record: Option<RecordRow>,
}

/// What a waste rule found.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FindingRow {
    #[prost(uint32, tag = "1")]
    pub(super) rule: u32,
    #[prost(uint64, tag = "2")]
    pub(super) figure: u64,
    #[prost(uint64, tag = "3")]
    pub(super) tokens: u64,
    #[prost(message, optional, tag = "4")]
    pub(super) cost: Option<MoneyRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionResetRow {
    #[prost(string, tag = "1")]
    pub(super) agent: String,
    #[prost(string, tag = "2")]
    pub(super) ended: String,
    #[prost(string, tag = "3")]
    pub(super) started: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BudgetAlertRow {
    #[prost(string, tag = "1")]
    pub(super) budget: String,
    #[prost(uint32, tag = "2")]
    pub(super) threshold: u32,
    #[prost(uint32, tag = "3")]
    pub(super) percent: u32,
    #[prost(sint64, tag = "4")]
    pub(super) window_start_ms: i64,
    #[prost(string, tag = "5")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PriceRemovedRow {
    #[prost(string, tag = "1")]
    pub(super) provider: String,
    #[prost(string, tag = "2")]
    pub(super) model: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PurgedRow {
    #[prost(sint64, tag = "1")]
    pub(super) horizon_ms: i64,
    #[prost(uint64, tag = "2")]
    pub(super) records: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LedgerReplacedRow {
    #[prost(string, tag = "1")]
    pub(super) from: String,
    #[prost(string, tag = "2")]
    pub(super) set_aside: String,
}

/// How far a file has been read; the path is the key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PositionRow {
    #[prost(string, tag = "1")]
    pub(super) agent: String,
    #[prost(uint64, tag = "2")]
    pub(super) device: u64,
    #[prost(uint64, tag = "3")]
    pub(super) inode: u64,
    #[prost(uint64, tag = "4")]
    pub(super) offset: u64,
    #[prost(uint64, tag = "5")]
    pub(super) size: u64,
    #[prost(sint64, tag = "6")]
    pub(super) mtime_ns: i64,
    #[prost(fixed64, tag = "7")]
    pub(super) tail_hash: u64,
    #[prost(bytes = "vec", tag = "8")]
    pub(super) state: Vec<u8>,
    #[prost(uint32, tag = "9")]
    pub(super) parser_version: u32,
    #[prost(uint64, tag = "10")]
    pub(super) records: u64,
    #[prost(uint64, tag = "11")]
    pub(super) failures: u64,
}

/// Lines that told of a call and were not counted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DroppedRow {
    #[prost(uint64, tag = "1")]
    pub(super) count: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) lines: Vec<DroppedLine>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DroppedLine {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(uint32, tag = "2")]
    pub(super) path: u32,
    #[prost(uint64, tag = "3")]
    pub(super) offset: u64,
    #[prost(uint32, tag = "4")]
    pub(super) reason: u32,
}

/// A batch in the chain; it begins after the batch before.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ChainRow {
    /// BLAKE3 over the former batch's hash and the digest of this batch's entries and their names.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) hash: Vec<u8>,
    /// How many of its entries were purged.
    #[prost(uint64, tag = "2")]
    pub(super) purged: u64,
}

/// A session; its sum follows in the form of [`super::sum`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionRowBytes {
    #[prost(uint32, tag = "1")]
    pub(super) project: u32,
    #[prost(uint32, tag = "2")]
    pub(super) user: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) sum: Vec<u8>,
}

/// The rules' state and the seq up to which it holds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckpointRow {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) state: Vec<u8>,
}

/// A reason's number on disk.
pub(super) fn reason_number(reason: AmendReason) -> u32 {
    match reason {
        AmendReason::Better => 0,
        AmendReason::Attribution => 1,
        AmendReason::Repriced => 2,
        AmendReason::Joined => 3,
        AmendReason::Split => 4,
    }
}

/// A rule's number on disk.
pub(super) fn rule_number(rule: Rule) -> u32 {
    match rule {
        Rule::LargeRequest => 1,
        Rule::LargeOutput => 2,
        Rule::ReadLoop => 3,
        Rule::UnboundedSearch => 4,
        Rule::DuplicateRequest => 5,
    }
}

/// The inverse of [`rule_number`].
pub(super) fn rule_of(number: u32) -> Option<Rule> {
    Rule::ALL.into_iter().find(|rule| rule_number(*rule) == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn money_of_any_size_comes_back(amount: i128) {
            prop_assert_eq!(Pico::from(MoneyRow::from(Pico(amount))), Pico(amount));
        }

        #[test]
        fn one_flipped_bit_is_noticed(key: [u8; 8], body: Vec<u8>, bit: usize) {
            let mut value = Vec::new();
            seal(&key, &mut value, |out| out.extend_from_slice(&body));
            prop_assert_eq!(unseal(&key, &value, "row").unwrap(), &body[..]);
            let bit = bit % (value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(unseal(&key, &value, "row").is_err());
        }

        #[test]
        fn a_row_in_the_wrong_place_is_noticed(a: u64, b: u64, body: Vec<u8>) {
            prop_assume!(a != b);
            let mut value = Vec::new();
            seal(&a.to_le_bytes(), &mut value, |out| out.extend_from_slice(&body));
            prop_assert!(unseal(&b.to_le_bytes(), &value, "row").is_err());
        }
    }

    #[test]
    fn rules_keep_their_numbers() {
        for (number, rule) in (1..).zip(Rule::ALL) {
            assert_eq!((rule_number(rule), rule_of(number)), (number, Some(rule)));
        }
        assert_eq!(rule_of(0), None);
        assert_eq!(rule_of(6), None);
    }
}
