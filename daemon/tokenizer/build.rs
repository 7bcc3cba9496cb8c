//! Writes down the vocabularies of `tiktoken-rs` as lists of tokens and of what each is joined from, and the classes of
//! characters that its patterns name as tables that the program reads in place.

#[path = "src/layout.rs"]
mod layout;

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use layout::{BLOCK_BITS, LETTER, LINE_END, LOWER, NUMBER, SPACE, UPPER};
use regex_syntax::hir::{Class, HirKind};
use tiktoken_rs::CoreBPE;

/// No rank in any of the encodings is as high.
const RANKS: u32 = 200_100;

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
        fs::write(out.join(format!("{name}.list")), list(&encoding)?)?;
    }
    let (index, blocks) = classes()?;
    fs::write(out.join("classes.index"), index)?;
    fs::write(out.join("classes.blocks"), blocks)?;
    Ok(())
}

/// The ordinary tokens in the order of their ranks: the length in one byte, in another one the length of the first of
/// the two tokens that it is joined from, then the token. A length of 0, alone, stands for a rank without one.
fn list(encoding: &CoreBPE) -> Result<Vec<u8>, Box<dyn Error>> {
    let special: HashSet<&[u8]> = encoding.special_tokens().into_iter().map(str::as_bytes).collect();
    let mut tokens: Vec<Vec<u8>> = (0..RANKS)
        .map(|rank| encoding.decode_bytes(&[rank]).unwrap_or_default())
        .collect();
    for token in &mut tokens {
        if special.contains(token.as_slice()) {
            token.clear();
        }
    }
    let used = tokens.iter().rposition(|token| !token.is_empty());
    tokens.truncate(used.map_or(0, |last| last + 1));
    let ranks: Ranks<'_> = (0..)
        .zip(&tokens)
        .map(|(rank, token)| (token.as_slice(), rank))
        .collect();
    let mut list = Vec::new();
    for (rank, token) in (0..).zip(&tokens) {
        list.push(u8::try_from(token.len())?);
        if !token.is_empty() {
            list.push(u8::try_from(first_part(&ranks, token, rank)?)?);
            list.extend_from_slice(token);
        }
    }
    Ok(list)
}

/// The rank of each token.
type Ranks<'t> = HashMap<&'t [u8], u32>;

/// The length of the first of the two tokens that merging the bytes of this one ends with, or of the token itself when
/// it is one byte. That the counter may merge by pairs of tokens rests on what is checked here: each token comes from
/// two of lower ranks.
fn first_part(ranks: &Ranks<'_>, token: &[u8], rank: u32) -> Result<usize, String> {
    let mut bounds: Vec<usize> = (0..=token.len()).collect();
    let rank_of = |from: usize, to: usize| ranks.get(&token[from..to]).copied();
    while bounds.len() > 3 {
        let joined = |at: &usize| rank_of(bounds[at - 1], bounds[at + 1]);
        let lowest = (1..bounds.len() - 1)
            .filter_map(|at| Some((joined(&at)?, at)))
            .min();
        let (_, at) = lowest.ok_or_else(|| format!("{token:?} is not what its bytes merge to"))?;
        bounds.remove(at);
    }
    for two in bounds.windows(2).filter(|_| token.len() > 1) {
        if rank_of(two[0], two[1]).is_none_or(|part| part >= rank) {
            return Err(format!("{token:?} is of a lower rank than its parts"));
        }
    }
    Ok(bounds[1])
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
