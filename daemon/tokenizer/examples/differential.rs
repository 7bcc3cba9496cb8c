//! Counts random texts with this crate and with `tiktoken-rs` and tells every difference.
//!
//! `cargo run --release -p tokmon-tokenizer --example differential -- [TEXTS] [SEED]`: a million texts unless told
//! otherwise, each in both encodings of today's models, one in sixteen in the older ones too, and one in eight as a
//! text that arrives in chunks. Ends with status 1 after ten differences, or if there was one.

#[path = "../tests/texts/mod.rs"]
mod texts;

use std::process::ExitCode;
use std::time::Instant;

use texts::{Noise, nasty};
use tiktoken_rs::CoreBPE;
use tokmon_tokenizer::{Encoding, Tokenizer};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let mut number = |default: u64| arguments.next().unwrap_or(Ok(default));
    let (Ok(wanted), Ok(seed)) = (number(1_000_000), number(1)) else {
        eprintln!("usage: differential [TEXTS] [SEED]");
        return ExitCode::from(2);
    };
    let tokenizer = Tokenizer::new();
    let (today, before): (&[_], &[_]) = (
        &[
            (Encoding::O200kBase, tiktoken_rs::o200k_base_singleton()),
            (Encoding::Cl100kBase, tiktoken_rs::cl100k_base_singleton()),
        ],
        &[
            (Encoding::O200kHarmony, tiktoken_rs::o200k_harmony_singleton()),
            (Encoding::P50kBase, tiktoken_rs::p50k_base_singleton()),
            (Encoding::P50kEdit, tiktoken_rs::p50k_edit_singleton()),
            (Encoding::R50kBase, tiktoken_rs::r50k_base_singleton()),
        ],
    );
    let mut noise = Noise::new(seed);
    let (began, mut bytes, mut different) = (Instant::now(), 0, 0);
    for n in 0..wanted {
        let text = nasty(&mut noise);
        bytes += text.len();
        let more = if n % 16 == 0 { before } else { &[] };
        for (encoding, oracle) in today.iter().chain(more) {
            if !agree(&tokenizer, *encoding, oracle, &text) {
                different += 1;
            }
            if n % 8 == 0 && !grows_alike(&tokenizer, *encoding, &text, &mut noise) {
                different += 1;
            }
        }
        if different >= 10 {
            break;
        }
    }
    println!(
        "seed {seed}: {wanted} texts, {bytes} bytes, {different} differences, {:.0} s",
        began.elapsed().as_secs_f64()
    );
    if different == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn agree(tokenizer: &Tokenizer, encoding: Encoding, oracle: &CoreBPE, text: &str) -> bool {
    let counter = tokenizer.counter(encoding);
    let (ours, theirs) = (counter.count(text), oracle.count_ordinary(text) as u64);
    let limited = counter.count_till_limit(text, theirs) == Some(theirs)
        && (theirs == 0 || counter.count_till_limit(text, theirs - 1).is_none());
    if ours != theirs || !limited {
        println!("{}: {ours}, not {theirs}: {text:?}", encoding.name());
    }
    ours == theirs && limited
}

fn grows_alike(tokenizer: &Tokenizer, encoding: Encoding, text: &str, noise: &mut Noise) -> bool {
    let mut stream = tokenizer.stream(encoding);
    let chars: Vec<char> = text.chars().collect();
    let mut rest = chars.as_slice();
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + noise.below(rest.len()));
        stream.push(&String::from_iter(chunk));
        rest = after;
        let so_far = String::from_iter(&chars[..chars.len() - rest.len()]);
        let (grown, whole) = (stream.total(), tokenizer.counter(encoding).count(&so_far));
        if grown != whole {
            println!("{}, growing: {grown}, not {whole}: {so_far:?}", encoding.name());
            return false;
        }
    }
    true
}
