//! Counts random texts with this crate and with `tiktoken-rs` and tells every difference.
//!
//! `cargo run --release -p tokmon-tokenizer --example differential -- [TEXTS] [SEED]`: a million texts unless told
//! otherwise, each in both encodings of today's models, one in sixteen in the older ones too, and one in eight as a
//! text that arrives in chunks. Ends with status 1 after ten differences, or if there was one.
//!
//! `differential --files PATH...` counts the files there instead, however many and whatever is in them: whole, in
//! stretches cut anywhere, and growing.

#[path = "../tests/texts/mod.rs"]
mod texts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use texts::{Noise, nasty};
use tiktoken_rs::CoreBPE;
use tokmon_tokenizer::{Encoding, Tokenizer};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|argument| argument == "--files").is_some() {
        return files(arguments.map(PathBuf::from));
    }
    let mut arguments = arguments.map(|argument| argument.to_string_lossy().parse::<u64>());
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

/// Bytes of a file that are counted at once: the reference gives up at a million blanks.
const AT_ONCE: usize = 900_000;

fn files(roots: impl Iterator<Item = PathBuf>) -> ExitCode {
    let tokenizer = Tokenizer::new();
    let encodings = [
        (Encoding::O200kBase, tiktoken_rs::o200k_base_singleton()),
        (Encoding::O200kHarmony, tiktoken_rs::o200k_harmony_singleton()),
        (Encoding::Cl100kBase, tiktoken_rs::cl100k_base_singleton()),
    ];
    let mut files = Vec::new();
    roots.for_each(|root| walk(&root, &mut files));
    let mut noise = Noise::new(files.len() as u64);
    let (began, mut texts, mut bytes, mut different) = (Instant::now(), 0_u64, 0, 0_u64);
    for file in &files {
        let Ok(content) = std::fs::read(file) else {
            continue;
        };
        let content = String::from_utf8_lossy(&content);
        let mut rest = &*content;
        while !rest.is_empty() {
            // A stretch of any length: now a file, now a few letters of one.
            let most = AT_ONCE.min(16 << noise.below(17)).min(rest.len());
            let end = (most..)
                .find(|end| rest.is_char_boundary(*end))
                .unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            rest = after;
            texts += 1;
            bytes += text.len();
            for (encoding, oracle) in &encodings {
                different += u64::from(!agree(&tokenizer, *encoding, oracle, text));
                different += u64::from(
                    text.len() < 2_000
                        && texts.is_multiple_of(8)
                        && !grows_alike(&tokenizer, *encoding, text, &mut noise),
                );
            }
            if different >= 10 {
                return ExitCode::FAILURE;
            }
        }
    }
    println!(
        "{} files, {texts} texts, {bytes} bytes, {different} differences, {:.0} s",
        files.len(),
        began.elapsed().as_secs_f64()
    );
    match different {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn walk(path: &Path, files: &mut Vec<PathBuf>) {
    // A link could lead in a circle.
    if path.is_dir() && !path.is_symlink() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| walk(&entry.path(), files));
    } else if path.is_file() {
        files.push(path.to_owned());
    }
}

fn agree(tokenizer: &Tokenizer, encoding: Encoding, oracle: &CoreBPE, text: &str) -> bool {
    let counter = tokenizer.counter(encoding);
    let (ours, theirs) = (counter.count(text), oracle.count_ordinary(text) as u64);
    // Any limit below the count, and the count itself.
    let below = theirs * (text.len() as u64 % 7) / 7;
    let limited = counter.count_till_limit(text, theirs) == Some(theirs)
        && (theirs == 0 || counter.count_till_limit(text, theirs - 1).is_none())
        && (below == theirs || counter.count_till_limit(text, below).is_none());
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
