//! Lays out the vocabularies of `tiktoken-rs` as tables that the program reads in place.
//!
//! Made at run time they would cost 20 to 45 MB of small allocations each, which the allocator keeps after they are
//! freed, and a tenth of a second. As part of the program they cost neither.

#[path = "src/layout.rs"]
mod layout;

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::Path;

use layout::{NONE, hash};
use tiktoken_rs::CoreBPE;

/// No rank in any of the encodings is as high.
const RANKS: u32 = 200_100;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/layout.rs");
    let out = std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?;
    for (name, encoding) in [
        ("o200k", tiktoken_rs::o200k_base()?),
        ("cl100k", tiktoken_rs::cl100k_base()?),
        ("p50k", tiktoken_rs::p50k_base()?),
        ("r50k", tiktoken_rs::r50k_base()?),
    ] {
        let tokens = ordinary_tokens(&encoding);
        let parts = [
            ("tokens", tokens.concat()),
            ("starts", numbers(&starts(&tokens)?)),
            ("table", numbers(&table(&tokens)?)),
        ];
        for (part, bytes) in parts {
            fs::write(Path::new(&out).join(format!("{name}.{part}")), bytes)?;
        }
    }
    Ok(())
}

/// The bytes of each rank's token; empty where there is none or it is a special one.
fn ordinary_tokens(encoding: &CoreBPE) -> Vec<Vec<u8>> {
    let special: HashSet<&[u8]> = encoding.special_tokens().into_iter().map(str::as_bytes).collect();
    let mut tokens: Vec<Vec<u8>> = (0..RANKS)
        .map(|rank| encoding.decode_bytes(&[rank]).unwrap_or_default())
        .map(|token| {
            if special.contains(token.as_slice()) {
                Vec::new()
            } else {
                token
            }
        })
        .collect();
    while tokens.pop_if(|token| token.is_empty()).is_some() {}
    tokens
}

fn starts(tokens: &[Vec<u8>]) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut starts = vec![0];
    let mut at = 0;
    for token in tokens {
        at += u32::try_from(token.len())?;
        starts.push(at);
    }
    Ok(starts)
}

fn table(tokens: &[Vec<u8>]) -> Result<Vec<u32>, Box<dyn Error>> {
    // At most half full, so that a search ends after a step or two.
    let mut table = vec![NONE; (2 * tokens.len()).next_power_of_two()];
    let mask = table.len() - 1;
    for (rank, token) in tokens.iter().enumerate().filter(|(_, token)| !token.is_empty()) {
        let mut place = hash(token) & mask;
        while table[place] != NONE {
            place = (place + 1) & mask;
        }
        table[place] = u32::try_from(rank)?;
    }
    Ok(table)
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
