//! Writes down the vocabularies of `tiktoken-rs` as lists of tokens, and the classes of characters that its patterns
//! name as tables that the program reads in place.

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

/// The ordinary tokens in the order of their ranks: the length in one byte, then the token. A length of 0 stands for a
/// rank without one.
fn list(encoding: &CoreBPE) -> Result<Vec<u8>, Box<dyn Error>> {
    let special: HashSet<&[u8]> = encoding.special_tokens().into_iter().map(str::as_bytes).collect();
    let mut list = Vec::new();
    for rank in 0..RANKS {
        let token = encoding.decode_bytes(&[rank]).unwrap_or_default();
        let token = if special.contains(token.as_slice()) {
            &[]
        } else {
            token.as_slice()
        };
        list.push(u8::try_from(token.len())?);
        list.extend_from_slice(token);
    }
    let used = list
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    list.truncate(used);
    Ok(list)
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
