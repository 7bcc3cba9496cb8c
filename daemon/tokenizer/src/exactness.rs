//! Tests that our counting equals `tiktoken-rs` wherever that one can count, and works where it cannot.

use std::time::Duration;

use proptest::prelude::*;

use crate::encoding::Slots;
use crate::{Count, Encoding, MAX_TEXT_BYTES, Tokenizer, TooLarge};

const TABLES: [Encoding; 4] = [
    Encoding::O200kBase,
    Encoding::Cl100kBase,
    Encoding::P50kBase,
    Encoding::R50kBase,
];

fn slots() -> &'static Slots {
    static SLOTS: std::sync::OnceLock<Slots> = std::sync::OnceLock::new();
    SLOTS.get_or_init(Slots::default)
}

/// What `tiktoken-rs` counts.
fn oracle(encoding: Encoding, text: &str) -> u64 {
    let bpe = match encoding {
        Encoding::O200kBase | Encoding::O200kHarmony => tiktoken_rs::o200k_base_singleton(),
        Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
        Encoding::P50kBase | Encoding::P50kEdit => tiktoken_rs::p50k_base_singleton(),
        Encoding::R50kBase => tiktoken_rs::r50k_base_singleton(),
    };
    bpe.count_ordinary(text) as u64
}

fn count(encoding: Encoding, text: &str) -> u64 {
    slots().get(encoding).count(text)
}

fn tokens(text: &[u8], model: &str) -> u64 {
    Tokenizer {
        slots: Slots::default(),
    }
    .count(text, model)
    .unwrap()
    .tokens
}

/// A generator of bytes that is the same everywhere, for long inputs.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn text(&mut self, alphabet: &[char], chars: usize) -> String {
        (0..chars)
            .map(|_| alphabet[self.next() as usize % alphabet.len()])
            .collect()
    }

    fn unicode(&mut self, chars: usize) -> String {
        (0..chars)
            .map(|_| char::from_u32(self.next() as u32 % 0x11_0000).unwrap_or('\u{fffd}'))
            .collect()
    }
}

/// C1: the model's own encoding.
#[test]
fn known_counts() {
    let tokenizer = Tokenizer::new();
    // Published examples of the encodings' author, and facts about single tokens.
    let cases: [(&str, &str, u64); 9] = [
        ("tiktoken is great!", "gpt-4", 6),
        ("antidisestablishmentarianism", "gpt-4", 6),
        ("antidisestablishmentarianism", "text-davinci-001", 5),
        ("2 + 2 = 4", "gpt-4", 7),
        ("2 + 2 = 4", "gpt-2", 5),
        ("お誕生日おめでとう", "gpt-4", 9),
        ("お誕生日おめでとう", "gpt-4o", 8),
        ("hello world", "gpt-5", 2),
        ("", "gpt-5", 0),
    ];
    for (text, model, expected) in cases {
        let count = tokenizer.count(text.as_bytes(), model).unwrap();
        assert_eq!(
            (count.tokens, count.exact),
            (expected, true),
            "{text:?} for {model}"
        );
        assert_eq!((count.low, count.high, count.note), (expected, expected, None));
    }
}

#[test]
fn special_tokens_in_a_text_are_text() {
    assert_eq!(tokens(b"<|endoftext|>", "gpt-4"), 7);
    for encoding in TABLES {
        let text = "<|endoftext|>".repeat(3);
        assert!(count(encoding, &text) > 6, "{encoding:?}");
        assert_eq!(count(encoding, &text), oracle(encoding, &text), "{encoding:?}");
    }
}

#[test]
fn invalid_utf8_counts_as_replacement_characters() {
    assert_eq!(
        tokens(b"a\xff\xfeb", "gpt-5"),
        tokens("a\u{fffd}\u{fffd}b".as_bytes(), "gpt-5")
    );
}

#[test]
fn a_text_over_the_bound_is_refused_by_size() {
    let text = vec![b'a'; MAX_TEXT_BYTES + 1];
    let refused = Tokenizer::new().count_many(&[b"ok".as_slice(), &text], "gpt-5");
    assert_eq!(
        refused,
        Err(TooLarge {
            bytes: MAX_TEXT_BYTES + 1
        })
    );
    assert!(refused.unwrap_err().to_string().contains("64 MiB"));
}

#[test]
fn many_texts_are_counted_in_order() {
    let tokenizer = Tokenizer::new();
    let counts = tokenizer
        .count_many(&["hello world", "", "hello"], "gpt-5")
        .unwrap();
    assert_eq!(
        counts.iter().map(|c: &Count| c.tokens).collect::<Vec<_>>(),
        [2, 0, 1]
    );
}

#[test]
fn encodings_load_when_used_and_unload_when_idle() {
    let tokenizer = Tokenizer::new();
    assert_eq!(tokenizer.loaded(), []);
    tokenizer.count(b"a", "gpt-4").unwrap();
    assert_eq!(tokenizer.loaded(), [Encoding::Cl100kBase]);
    assert_eq!(tokenizer.unload_idle(Duration::from_secs(3600)), 0);
    assert_eq!(tokenizer.unload_idle(Duration::ZERO), 1);
    assert_eq!(tokenizer.loaded(), []);
    assert_eq!(tokenizer.count(b"a", "gpt-4").unwrap().tokens, 1);
}

#[test]
fn long_unbroken_stretches_are_exact() {
    let mut noise = Noise(1);
    let letters: Vec<char> = ('a'..='z').collect();
    let mixed: Vec<char> = ('a'..='z').chain('A'..='Z').chain('あ'..='ん').collect();
    let blanks = [' ', '\t', '\n', '\r', '\u{a0}', '\u{3000}'];
    let marks = ['-', '=', '/', '\n', '\r', '"', '\''];
    let long = 100_000;
    let texts = [
        "a".repeat(long),
        "A".repeat(long),
        " ".repeat(long),
        format!("x{}y", " ".repeat(long)),
        format!("x\n{} y\n", "\t \u{a0}".repeat(long / 3)),
        "\n".repeat(long),
        "-".repeat(long),
        "=".repeat(long) + "\n",
        "字".repeat(long / 2),
        "0".repeat(long),
        noise.text(&letters, long),
        noise.text(&mixed, long),
        noise.text(&blanks, long),
        noise.text(&blanks, long) + "end",
        noise.text(&marks, long),
        noise.unicode(long),
    ];
    for text in &texts {
        for encoding in TABLES {
            let start: String = text.chars().take(12).collect();
            assert_eq!(
                count(encoding, text),
                oracle(encoding, text),
                "{encoding:?} {start:?}"
            );
        }
    }
}

/// The oracle panics on the first four of these and needs half a gigabyte for longer ones of the others.
#[test]
fn stretches_beyond_the_oracle_are_counted() {
    for unit in [" ", "\t", "\u{a0}", "\u{3000}", "a", "\n", "-"] {
        let text = unit.repeat(1_100_000) + "x";
        // A long run is the same few tokens over and over, so its count grows with its length.
        let expected = oracle(Encoding::O200kBase, &unit.repeat(100_000)) * 11;
        let counted = count(Encoding::O200kBase, &text);
        assert!(
            counted.abs_diff(expected) <= 11,
            "{unit:?}: {counted}, not about {expected}"
        );
    }
}

/// Text of the kinds that the patterns tell apart, in long and short runs.
fn runs() -> impl Strategy<Value = String> {
    let unit = prop_oneof![
        "[a-z]{1,12}",
        "[A-Z]{1,6}[a-z]{0,4}",
        "[ \t\u{a0}\u{3000}]{1,6}",
        "[\r\n]{1,3}",
        "[0-9]{1,7}",
        "[-=/.,;'\"{}<>|]{1,5}",
        "'(s|ſ|LL|ve|re|d|x)",
        "\\PC{1,4}",
        "[字漢あカ한、。]{1,5}",
        "[ǅʰ\u{301}\u{345}Ⅷ²]{1,3}",
        any::<String>(),
    ];
    prop::collection::vec((unit, prop_oneof![9 => 1..3usize, 1 => 200..2_000usize]), 0..40).prop_map(
        |parts| {
            parts
                .into_iter()
                .map(|(unit, times)| unit.repeat(times))
                .collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counts_equal_the_oracle(text in runs()) {
        for encoding in TABLES {
            prop_assert_eq!(count(encoding, &text), oracle(encoding, &text), "{:?}", encoding);
        }
    }

    #[test]
    fn bytes_of_any_kind_are_counted(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let text = String::from_utf8_lossy(&bytes);
        let counted = Tokenizer::new().count(&bytes, "gpt-5");
        prop_assert_eq!(counted.map(|c| c.tokens), Ok(oracle(Encoding::O200kBase, &text)));
    }
}
