//! Lays out the vocabularies of `tiktoken-rs`, and the classes of characters that its patterns name, as tables that
//! the program reads in place.
//!
//! Made at run time they would cost 20 to 45 MB of small allocations each, which the allocator keeps after they are
//! freed, and a tenth of a second. As part of the program they cost neither.

#[path = "src/layout.rs"]
mod layout;

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use layout::{BLOCK_BITS, LETTER, LINE_END, LOWER, NONE, NUMBER, SPACE, UPPER};
use layout::{hash, middle_place, pack_middle, pack_short, short_place};
use regex_syntax::hir::{Class, HirKind};
use tiktoken_rs::CoreBPE;

/// No rank in any of the encodings is as high.
const RANKS: u32 = 200_100;

type Token = (Vec<u8>, u32);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/layout.rs");
    let out = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    let out = Path::new(&out);
    for (name, encoding) in [
        ("o200k", tiktoken_rs::o200k_base()?),
        ("cl100k", tiktoken_rs::cl100k_base()?),
        ("p50k", tiktoken_rs::p50k_base()?),
        ("r50k", tiktoken_rs::r50k_base()?),
    ] {
        let tokens = ordinary_tokens(&encoding);
        let of = |lengths: std::ops::RangeInclusive<usize>| {
            let within = |(token, _): &&Token| lengths.contains(&token.len());
            tokens.iter().filter(within).cloned().collect::<Vec<Token>>()
        };
        let long = of(16..=usize::MAX);
        let parts = [
            ("single", direct(&of(1..=1), 1)),
            ("pairs", direct(&of(2..=2), 2)),
            ("short", short(&of(3..=7))),
            ("middle", middle(&of(8..=15))),
            ("long", numbers(&table(&long)?)),
            (
                "ranks",
                numbers(&long.iter().map(|(_, rank)| *rank).collect::<Vec<_>>()),
            ),
            ("starts", numbers(&starts(&long)?)),
            (
                "tokens",
                long.iter().flat_map(|(token, _)| token.clone()).collect(),
            ),
        ];
        for (part, bytes) in parts {
            fs::write(out.join(format!("{name}.{part}")), bytes)?;
        }
    }
    let (index, blocks) = classes()?;
    fs::write(out.join("classes.index"), index)?;
    fs::write(out.join("classes.blocks"), blocks)?;
    Ok(())
}

/// The tokens that are not special ones, in the order of their ranks.
fn ordinary_tokens(encoding: &CoreBPE) -> Vec<Token> {
    let special: HashSet<&[u8]> = encoding.special_tokens().into_iter().map(str::as_bytes).collect();
    (0..RANKS)
        .filter_map(|rank| Some((encoding.decode_bytes(&[rank]).ok()?, rank)))
        .filter(|(token, _)| !token.is_empty() && !special.contains(token.as_slice()))
        .collect()
}

/// A rank for every number that `bytes` bytes can be.
fn direct(tokens: &[Token], bytes: u32) -> Vec<u8> {
    let mut ranks = vec![NONE; 256_usize.pow(bytes)];
    for (token, rank) in tokens {
        let number = token
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | usize::from(*byte));
        ranks[number] = *rank;
    }
    numbers(&ranks)
}

fn short(tokens: &[Token]) -> Vec<u8> {
    let keyed = tokens.iter().map(|(token, rank)| (pack_short(token), *rank));
    let places = addressed(keyed, tokens.len(), |key, places| short_place(*key, places));
    places
        .into_iter()
        .flat_map(|place| {
            let (key, rank) = place.unwrap_or((0, NONE));
            [key.to_le_bytes().as_slice(), &rank.to_le_bytes()].concat()
        })
        .collect()
}

fn middle(tokens: &[Token]) -> Vec<u8> {
    let keyed = tokens.iter().map(|(token, rank)| (pack_middle(token), *rank));
    let places = addressed(keyed, tokens.len(), |key, places| middle_place(*key, places));
    places
        .into_iter()
        .flat_map(|place| {
            let (key, rank) = place.unwrap_or((0, NONE));
            [key.to_le_bytes().as_slice(), &rank.to_le_bytes()].concat()
        })
        .collect()
}

/// Puts each key at its place or the next free one. At most five places in eight are taken, so that a search ends
/// after a step or two.
fn addressed<K>(
    keyed: impl Iterator<Item = (K, u32)>,
    keys: usize,
    first: impl Fn(&K, usize) -> usize,
) -> Vec<Option<(K, u32)>> {
    let mut places: Vec<Option<(K, u32)>> = Vec::new();
    places.resize_with(keys * 8 / 5 + 1, || None);
    for (key, rank) in keyed {
        let mut place = first(&key, places.len());
        while places[place].is_some() {
            place = (place + 1) % places.len();
        }
        places[place] = Some((key, rank));
    }
    places
}

fn starts(tokens: &[Token]) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut starts = vec![0];
    let mut at = 0;
    for (token, _) in tokens {
        at += u32::try_from(token.len())?;
        starts.push(at);
    }
    Ok(starts)
}

fn table(tokens: &[Token]) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut table = vec![NONE; (2 * tokens.len()).next_power_of_two()];
    let mask = table.len() - 1;
    for (index, (token, _)) in tokens.iter().enumerate() {
        let mut place = hash(token) & mask;
        while table[place] != NONE {
            place = (place + 1) & mask;
        }
        table[place] = u32::try_from(index)?;
    }
    Ok(table)
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The class of every character: for each block of characters which of the different blocks it is, and those. They
/// come from the very tables that the reference's pattern engine uses.
fn classes() -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let mut classes = vec![0_u8; 0x11_0000];
    for (pattern, class) in [
        (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", UPPER),
        (r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", LOWER),
        (r"\p{L}", LETTER),
        (r"\p{N}", NUMBER),
        (r"\s", SPACE),
        (r"[\r\n]", LINE_END),
    ] {
        let parsed = regex_syntax::parse(pattern)?;
        let HirKind::Class(Class::Unicode(ranges)) = parsed.kind() else {
            return Err(format!("{pattern} is not a class").into());
        };
        for range in ranges.ranges() {
            for of in &mut classes[range.start() as usize..=range.end() as usize] {
                *of |= class;
            }
        }
    }
    let mut seen: HashMap<&[u8], u8> = HashMap::new();
    let (mut index, mut blocks) = (Vec::new(), Vec::new());
    for block in classes.chunks(1 << BLOCK_BITS) {
        let number = match seen.get(block) {
            Some(number) => *number,
            None => {
                let number = u8::try_from(seen.len())?;
                seen.insert(block, number);
                blocks.extend_from_slice(block);
                number
            }
        };
        index.push(number);
    }
    Ok((index, blocks))
}
