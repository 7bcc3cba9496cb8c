//! Every count equals `tiktoken-rs`: composed texts of many languages, and a bounded run of nasty ones.
//!
//! `cargo run --release --example differential` goes on for as long as you like.

mod texts;

use texts::{Noise, PASSAGES, nasty};
use tiktoken_rs::CoreBPE;
use tokmon_tokenizer::{Encoding, Tokenizer};

const NASTY: usize = 40_000;

fn oracle(encoding: Encoding) -> &'static CoreBPE {
    match encoding {
        Encoding::O200kBase => tiktoken_rs::o200k_base_singleton(),
        Encoding::O200kHarmony => tiktoken_rs::o200k_harmony_singleton(),
        Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        Encoding::P50kBase => tiktoken_rs::p50k_base_singleton(),
        Encoding::P50kEdit => tiktoken_rs::p50k_edit_singleton(),
        Encoding::R50kBase => tiktoken_rs::r50k_base_singleton(),
    }
}

fn expected(encoding: Encoding, text: &str) -> u64 {
    oracle(encoding).count_ordinary(text) as u64
}

#[test]
fn passages_of_many_languages() {
    let tokenizer = Tokenizer::new();
    for encoding in Encoding::ALL {
        let counter = tokenizer.counter(encoding);
        for (n, passage) in PASSAGES.iter().enumerate() {
            let next = PASSAGES[(n + 1) % PASSAGES.len()];
            for text in [
                passage.to_string(),
                [passage, next].concat(),
                passage.to_uppercase(),
            ] {
                assert_eq!(
                    counter.count(&text),
                    expected(encoding, &text),
                    "{encoding:?} {text}"
                );
            }
        }
        let all = PASSAGES.concat();
        assert_eq!(
            counter.count_batch(&PASSAGES),
            PASSAGES.map(|text| expected(encoding, text))
        );
        assert_eq!(counter.count(&all), expected(encoding, &all), "{encoding:?}");
    }
}

#[test]
fn every_character_alone_and_between_others() {
    let tokenizer = Tokenizer::new();
    for encoding in [Encoding::O200kBase, Encoding::Cl100kBase, Encoding::R50kBase] {
        let counter = tokenizer.counter(encoding);
        // Characters of a plane that look alike need not all be tried.
        let points = (0..0x3000).chain((0x3000..0x11_0000).step_by(7));
        for char in points.filter_map(char::from_u32) {
            let text = format!("{char} {char}aB{char}{char}'s!{char}\n{char}1");
            assert_eq!(
                counter.count(&text),
                expected(encoding, &text),
                "{encoding:?} {text:?}"
            );
        }
    }
}

#[test]
fn nasty_texts() {
    let tokenizer = Tokenizer::new();
    let mut noise = Noise::new(2026);
    for n in 0..NASTY {
        let text = nasty(&mut noise);
        let older = n % 16 == 0;
        for encoding in Encoding::ALL {
            if !older && !matches!(encoding, Encoding::O200kBase | Encoding::Cl100kBase) {
                continue;
            }
            let counted = tokenizer.counter(encoding).count(&text);
            assert_eq!(counted, expected(encoding, &text), "{encoding:?} {text:?}");
        }
    }
}

#[test]
fn a_growing_text_has_the_count_of_the_whole_at_every_step() {
    let tokenizer = Tokenizer::new();
    let mut noise = Noise::new(5);
    for round in 0..400 {
        let encoding = Encoding::ALL[round % Encoding::ALL.len()];
        let counter = tokenizer.counter(encoding);
        let mut stream = tokenizer.stream(encoding);
        let mut text = String::new();
        for _ in 0..40 {
            // Chunks of a text, cut between any two characters.
            let more: Vec<char> = nasty(&mut noise).chars().take(60).collect();
            for chunk in more.chunks(1 + noise.below(9)) {
                let chunk = String::from_iter(chunk);
                stream.push(&chunk);
                text += &chunk;
            }
            assert_eq!(stream.total(), counter.count(&text), "{encoding:?} {text:?}");
        }
    }
}
