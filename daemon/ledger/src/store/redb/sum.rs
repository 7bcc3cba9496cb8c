//! Sums as bytes: a mask of the figures that are not zero, then those figures as varints.
//!
//! A report over a year reads a hundred thousand of them, so they are decoded without a parser and
//! without allocation. A new figure takes the next bit of the mask.

use tokmon_core::entry::Rule;
use tokmon_core::money::Pico;
use tokmon_core::rollup::{Agg, WasteAgg};
use tokmon_core::tokens::Tokens;

use super::super::{Result, StoreError};
use super::codec::{rule_number, rule_of};

/// The figures that are counts, in the order of their bits.
const COUNTS: usize = 18;
/// Bits after the counts: the three amounts, and the list of findings.
const COST: u32 = 18;
const REPORTED: u32 = 19;
const EMBEDDING_COST: u32 = 20;
const WASTE: u32 = 21;
const KNOWN: u64 = (1 << 22) - 1;
const COUNT_BITS: u64 = (1 << COUNTS) - 1;

fn counts(agg: &Agg) -> [u64; COUNTS] {
    let mut all = [0; COUNTS];
    all[0] = agg.requests;
    all[1..12].copy_from_slice(&agg.tokens.to_array());
    all[12] = agg.unpriced_requests;
    all[13] = agg.failed_requests;
    all[14] = agg.extra_output;
    all[15] = agg.embedding_requests;
    all[16] = agg.embedding_tokens;
    all[17] = agg.cache_hits;
    all
}

/// Appends a sum. `base_ms` is an instant near its bounds, e.g. the bucket's start.
pub(super) fn encode(agg: &Agg, base_ms: i64, out: &mut Vec<u8>) {
    let counts = counts(agg);
    let mut mask = 0_u64;
    for (bit, &count) in counts.iter().enumerate() {
        mask |= u64::from(count != 0) << bit;
    }
    let amounts = [
        (COST, agg.cost),
        (REPORTED, agg.reported_cost),
        (EMBEDDING_COST, agg.embedding_cost),
    ];
    for (bit, amount) in amounts {
        mask |= u64::from(amount != Pico::ZERO) << bit;
    }
    mask |= u64::from(!agg.waste.is_empty()) << WASTE;
    put(mask, out);
    put_signed(agg.first_ms.wrapping_sub(base_ms), out);
    put_signed(agg.last_ms.wrapping_sub(agg.first_ms), out);
    counts
        .iter()
        .filter(|&&count| count != 0)
        .for_each(|&count| put(count, out));
    for (_, amount) in amounts {
        if amount != Pico::ZERO {
            put_money(amount, out);
        }
    }
    if !agg.waste.is_empty() {
        put(agg.waste.len() as u64, out);
        for waste in &agg.waste {
            put(u64::from(rule_number(waste.rule)), out);
            put(waste.events, out);
            put(waste.tokens, out);
            put_money(waste.cost, out);
        }
    }
}

/// Reads a sum, which must fill the bytes.
pub(super) fn decode(bytes: &[u8], base_ms: i64) -> Result<Agg> {
    let mut agg = Agg::default();
    decode_into(bytes, base_ms, &mut agg)?;
    Ok(agg)
}

/// Reads a sum into one that is used again and again.
pub(super) fn decode_into(bytes: &[u8], base_ms: i64, agg: &mut Agg) -> Result<()> {
    read(bytes, base_ms, agg).ok_or_else(|| StoreError::Damaged("a sum cannot be read".to_owned()))
}

fn read(mut bytes: &[u8], base_ms: i64, agg: &mut Agg) -> Option<()> {
    let from = &mut bytes;
    let mask = take(from)?;
    if mask & !KNOWN != 0 {
        return None;
    }
    agg.first_ms = base_ms.wrapping_add(take_signed(from)?);
    agg.last_ms = agg.first_ms.wrapping_add(take_signed(from)?);
    let mut all = [0; COUNTS];
    let mut rest = mask & COUNT_BITS;
    while rest != 0 {
        all[rest.trailing_zeros() as usize] = take(from)?;
        rest &= rest - 1;
    }
    let mut tokens = [0; 11];
    tokens.copy_from_slice(&all[1..12]);
    agg.requests = all[0];
    agg.tokens = Tokens::from_array(tokens);
    agg.unpriced_requests = all[12];
    agg.failed_requests = all[13];
    agg.extra_output = all[14];
    agg.embedding_requests = all[15];
    agg.embedding_tokens = all[16];
    agg.cache_hits = all[17];
    for (bit, amount) in [
        (COST, &mut agg.cost),
        (REPORTED, &mut agg.reported_cost),
        (EMBEDDING_COST, &mut agg.embedding_cost),
    ] {
        *amount = if mask >> bit & 1 == 1 {
            take_money(from)?
        } else {
            Pico::ZERO
        };
    }
    agg.waste.clear();
    if mask >> WASTE & 1 == 1 {
        let len = take(from)?;
        if len > Rule::ALL.len() as u64 {
            return None;
        }
        for _ in 0..len {
            agg.waste.push(WasteAgg {
                rule: rule_of(u32::try_from(take(from)?).ok()?)?,
                events: take(from)?,
                tokens: take(from)?,
                cost: take_money(from)?,
            });
        }
    }
    bytes.is_empty().then_some(())
}

fn put(value: u64, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(value, out);
}

fn put_signed(value: i64, out: &mut Vec<u8>) {
    put((value << 1 ^ value >> 63).cast_unsigned(), out);
}

/// Sign folded into the lowest bit, seven bits per byte: money may pass 64 bits.
fn put_money(amount: Pico, out: &mut Vec<u8>) {
    let mut rest = (amount.0 << 1 ^ amount.0 >> 127).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for at in 0..10 {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take_signed(from: &mut &[u8]) -> Option<i64> {
    let value = take(from)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

fn take_money(from: &mut &[u8]) -> Option<Pico> {
    // Nine bytes hold all but absurd amounts, and 64 bits are several times quicker than 128.
    let mut low = 0_u64;
    for at in 0..9 {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        low |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(Pico(i128::from(
                (low >> 1).cast_signed() ^ -(low & 1).cast_signed(),
            )));
        }
    }
    let mut value = u128::from(low);
    for at in 9..19 {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        value |= u128::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Some(Pico((value >> 1).cast_signed() ^ -(value & 1).cast_signed()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_agg() -> impl Strategy<Value = Agg> {
        let count = prop_oneof![Just(0_u64), 0..1000_u64, any::<u64>()];
        let money =
            prop_oneof![Just(0_i128), any::<i64>().prop_map(i128::from), any::<i128>()].prop_map(Pico);
        (
            proptest::collection::vec(count, COUNTS),
            proptest::array::uniform4(money),
            any::<(i64, i64, u8)>(),
        )
            .prop_map(|(c, m, (first_ms, last_ms, rules))| {
                let mut tokens = [0; 11];
                tokens.copy_from_slice(&c[1..12]);
                Agg {
                    requests: c[0],
                    tokens: Tokens::from_array(tokens),
                    cost: m[0],
                    reported_cost: m[1],
                    unpriced_requests: c[12],
                    failed_requests: c[13],
                    extra_output: c[14],
                    embedding_requests: c[15],
                    embedding_tokens: c[16],
                    embedding_cost: m[2],
                    cache_hits: c[17],
                    first_ms,
                    last_ms,
                    waste: Rule::ALL
                        .into_iter()
                        .enumerate()
                        .filter(|(at, _)| rules >> at & 1 == 1)
                        .map(|(at, rule)| WasteAgg {
                            rule,
                            events: c[at],
                            tokens: c[at + 1],
                            cost: m[3],
                        })
                        .collect(),
                }
            })
    }

    proptest! {
        #[test]
        fn sums_come_back(agg in any_agg(), base: i64) {
            let mut bytes = Vec::new();
            encode(&agg, base, &mut bytes);
            prop_assert_eq!(decode(&bytes, base).unwrap(), agg);
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_panics(bytes: Vec<u8>) {
            if let Err(e) = decode(&bytes, 0) {
                prop_assert!(matches!(e, StoreError::Damaged(_)));
            }
        }
    }

    #[test]
    fn a_usual_row_is_small() {
        let mut agg = Agg::empty();
        agg.requests = 12;
        agg.tokens = Tokens {
            input: 1_200,
            output: 9_000,
            cache_read: 1_500_000,
            cache_write_5m: 30_000,
            ..Tokens::default()
        };
        agg.cost = Pico(1_234_567_890_123);
        agg.first_ms = 1_780_000_000_000;
        agg.last_ms = agg.first_ms + 500_000;
        let mut bytes = Vec::new();
        encode(&agg, agg.first_ms - 1000, &mut bytes);
        assert!(bytes.len() <= 32, "{}", bytes.len());
    }
}
