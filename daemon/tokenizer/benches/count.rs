//! Counting beside plain `tiktoken-rs`: everyday texts, small and large, on one thread and two, and the worst ones.
//!
//! `cargo bench -p tokmon-tokenizer -- [FILE...]` measures with your own files too. Each figure is the best of several
//! passes that take turns, in processor time where the system tells it, so that a busy machine harms neither side
//! much; the figures by the clock need a quiet one.

#[path = "../tests/texts/mod.rs"]
mod texts;

use std::hint::black_box;
use std::time::{Duration, Instant};

use texts::{Noise, PASSAGES, nasty};
use tiktoken_rs::CoreBPE;
use tokmon_tokenizer::{Counter, Encoding};

const MB: usize = 1_000_000;
/// How long one measurement takes, at least.
const STRETCH: Duration = Duration::from_millis(150);

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--peer") {
        return peer(&mut arguments);
    }
    let o200k = (
        Counter::new(Encoding::O200kBase),
        tiktoken_rs::o200k_base_singleton(),
    );
    let cl100k = (
        Counter::new(Encoding::Cl100kBase),
        tiktoken_rs::cl100k_base_singleton(),
    );
    let files: Vec<(String, String)> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .filter_map(|path| {
            let bytes = std::fs::read(&path).ok()?;
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            Some((name, String::from_utf8_lossy(&bytes).into_owned()))
        })
        .collect();
    for (name, (ours, theirs)) in [("o200k_base", &o200k), ("cl100k_base", &cl100k)] {
        println!(
            "\n{name:<24}{:>10}{:>10}{:>10}{:>8}",
            "first", "warm", "tiktoken", "ratio"
        );
        for (text_name, text) in composed().iter().chain(&files) {
            throughput(text_name, text, ours, theirs);
        }
    }
    small(&o200k, &files);
    remembered(&o200k.0);
    threads(&o200k, &files);
    worst(&o200k.0);
    worst(&cl100k.0);
}

/// `--peer tokmon|tiktoken-rs FILE...`: what `peers.sh` prints, of one counter in a process of its own. The best of three
/// passes by the clock, the tokens, and the most memory so far.
fn peer(arguments: &mut dyn Iterator<Item = String>) {
    let name = arguments.next().unwrap_or_default();
    let ours = Counter::new(Encoding::O200kBase);
    let count = |text: &str| match &*name {
        "tokmon" => ours.count(text),
        _ => tiktoken_rs::o200k_base_singleton().count_ordinary(text) as u64,
    };
    for path in arguments.filter(|argument| !argument.starts_with('-')) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let (mut best, mut tokens) = (Duration::MAX, 0);
        for _ in 0..3 {
            let began = Instant::now();
            tokens = count(&text);
            best = best.min(began.elapsed());
        }
        let speed = text.len() as f64 / best.as_secs_f64() / MB as f64;
        println!("{name}\t{path}\t{speed}\t{tokens}\t{}", peak() as f64 / 1000.0);
    }
}

fn composed() -> Vec<(String, String)> {
    let mut noise = Noise::new(7);
    let mut torture = String::new();
    while torture.len() < MB / 2 {
        torture += &nasty(&mut noise);
    }
    let mut random = |name: &str, from: u32, to: u32, takes: fn(char) -> bool| {
        let mut text = String::new();
        while text.len() < MB / 4 {
            let point = from + noise.below((to - from) as usize) as u32;
            text.extend(char::from_u32(point).filter(|char| takes(*char)));
        }
        (format!("random {name}"), text)
    };
    vec![
        random("characters", 0, 0x11_0000, |_| true),
        random("BMP", 0, 0x1_0000, |_| true),
        random("letters of all scripts", 0, 0x1_0000, char::is_alphabetic),
        random("Han", 0x4e00, 0xa000, |_| true),
        random("emoji", 0x1_f300, 0x1_fa00, |_| true),
        ("passages".to_owned(), PASSAGES.concat().repeat(100)),
        ("torture".to_owned(), torture),
    ]
}

fn throughput(name: &str, text: &str, ours: &Counter, theirs: &CoreBPE) {
    // Nothing remembered yet.
    let first = cost(|| Counter::new(ours.encoding()).count(text));
    let (mut warm, mut plain) = (Duration::MAX, Duration::MAX);
    for pass in 0..3 {
        warm = warm.min(cost(|| ours.count(text)));
        if pass < 2 {
            plain = plain.min(cost(|| theirs.count_ordinary(text)));
        }
    }
    let speed = |cost: Duration| text.len() as f64 / cost.as_secs_f64() / MB as f64;
    println!(
        "{name:<24}{:>10.1}{:>10.1}{:>10.1}{:>8.2}",
        speed(first),
        speed(warm),
        speed(plain),
        speed(warm) / speed(plain)
    );
}

/// Calls with a kilobyte, in the middle of others.
fn small((ours, theirs): &(Counter, &CoreBPE), files: &[(String, String)]) {
    println!(
        "\n{:<24}{:>10}{:>10}  µs per call, median",
        "1 KB of", "tokmon", "tiktoken"
    );
    for (name, text) in composed().iter().chain(files) {
        let mut chunks = Vec::new();
        let mut rest = text.as_str();
        while rest.len() > 1024 && chunks.len() < 2_000 {
            let (chunk, after) = rest.split_at(boundary(rest, 1024));
            chunks.push(chunk);
            rest = after;
        }
        let median = |count: &dyn Fn(&str) -> u64| {
            let mut times: Vec<Duration> = chunks
                .iter()
                .map(|chunk| {
                    let began = Instant::now();
                    black_box(count(chunk));
                    began.elapsed()
                })
                .collect();
            times.sort();
            times
                .get(times.len() / 2)
                .copied()
                .unwrap_or_default()
                .as_secs_f64()
                * 1e6
        };
        println!(
            "{name:<24}{:>10.1}{:>10.1}",
            median(&|chunk| ours.count(chunk)),
            median(&|chunk| theirs.count_ordinary(chunk) as u64)
        );
    }
}

/// A block of text that is counted again, and one that was counted before.
fn remembered(ours: &Counter) {
    println!(
        "\n{:<24}{:>10}{:>10}  µs per block",
        "block of", "counted", "known"
    );
    let text = PASSAGES.concat().repeat(20);
    for bytes in [256, 1024, 8 * 1024, 64 * 1024] {
        let block = &text[..boundary(&text, bytes)];
        let (mut counted, mut known) = (Duration::MAX, Duration::MAX);
        for _ in 0..2 {
            counted = counted.min(cost(|| ours.count(block)));
            known = known.min(cost(|| ours.count_blocks(&[block])));
        }
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!("{bytes:<24}{:>10.2}{:>10.2}", micros(counted), micros(known));
    }
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The same texts by one thread and by two. By the clock that needs two free cores; in processor time it tells on a busy
/// machine too whether the threads hinder each other.
fn threads((ours, _): &(Counter, &CoreBPE), files: &[(String, String)]) {
    println!(
        "\n{:<24}{:>10}{:>10}{:>8}{:>12}",
        "threads, MB/s", "1", "2", "ratio", "processor"
    );
    for (name, text) in composed().iter().chain(files) {
        let bytes = text.len() as f64 / MB as f64;
        let (mut one, mut two) = (Duration::MAX, Duration::MAX);
        for _ in 0..7 {
            let began = Instant::now();
            black_box(ours.count(text));
            one = one.min(began.elapsed());
            let began = Instant::now();
            std::thread::scope(|scope| {
                scope.spawn(|| black_box(ours.count(text)));
                black_box(ours.count(text));
            });
            two = two.min(began.elapsed());
        }
        let (mut alone, mut together) = (Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            alone = alone.min(cost(|| ours.count(text)));
            let both = std::thread::scope(|scope| {
                let other = scope.spawn(|| cost(|| ours.count(text)));
                let this = cost(|| ours.count(text));
                other.join().map_or(this, |other| (this + other) / 2)
            });
            together = together.min(both);
        }
        let (one, two) = (bytes / one.as_secs_f64(), 2.0 * bytes / two.as_secs_f64());
        let processor = 2.0 * alone.as_secs_f64() / together.as_secs_f64();
        println!(
            "{name:<24}{one:>10.1}{two:>10.1}{:>8.2}{processor:>12.2}",
            two / one
        );
    }
}

/// Ten megabytes without a break, or with few.
fn worst(ours: &Counter) {
    println!(
        "\n{:<24}{:>10}{:>12}  10 MB of nothing that is a word",
        ours.encoding().name(),
        "ns/byte",
        "peak MB"
    );
    let mut noise = Noise::new(11);
    let mut of = |alphabet: &[char]| -> String {
        let mut text = String::with_capacity(10 * MB + 4);
        while text.len() < 10 * MB {
            text.push(alphabet[noise.below(alphabet.len())]);
        }
        text
    };
    let letters: Vec<char> = ('a'..='z').collect();
    let han: Vec<char> = ('\u{4e00}'..'\u{9000}').collect();
    let any: Vec<char> = ('\u{0}'..char::MAX).step_by(97).collect();
    for (name, alphabet) in [
        ("a", &['a'][..]),
        ("blanks", &[' ']),
        ("line ends", &['\n']),
        ("dashes", &['-']),
        ("random letters", &letters),
        ("random blanks", &[' ', '\t']),
        ("random a and b", &['a', 'b']),
        ("random signs", &['-', '=', '#', '*', '/', '.', '_']),
        ("random han", &han),
        ("any characters", &any),
    ] {
        print_worst(ours, name, &of(alphabet));
    }
    for len in [4, 7, 12, 20, 31, 33, 64, 100, 127, 129, 300, 1_000] {
        for (name, alphabet, gap) in [
            ("letters", letters.as_slice(), ' '),
            ("blanks", &[' ', '\t'], 'a'),
        ] {
            let stretch = of(alphabet);
            let mut text = String::with_capacity(11 * MB);
            for (at, char) in stretch.chars().take(9 * MB).enumerate() {
                if at % len == 0 {
                    text.push(gap);
                }
                text.push(char);
            }
            print_worst(ours, &format!("{name}, {len} at a time"), &text);
        }
    }
}

fn print_worst(ours: &Counter, name: &str, text: &str) {
    peak();
    let before = peak();
    let took = cost(|| ours.count(text));
    let more = peak().saturating_sub(before);
    println!(
        "{name:<24}{:>10.1}{:>12.1}",
        took.as_secs_f64() * 1e9 / text.len() as f64,
        more as f64 / 1000.0
    );
}

/// Processor time of one run, from as many as fill a stretch that the system measures well; without such a measure,
/// the clock's.
fn cost<R>(run: impl Fn() -> R) -> Duration {
    let (before, began) = (on_processor(), Instant::now());
    let mut runs = 0;
    while runs == 0 || began.elapsed() < STRETCH {
        black_box(run());
        runs += 1;
    }
    let took = match (before, on_processor()) {
        (Some(before), Some(after)) if after > before => after - before,
        _ => began.elapsed(),
    };
    took / runs
}

/// What this thread has had of a processor, where Linux tells it: in steps of some milliseconds.
fn on_processor() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(stat.split(' ').next()?.parse().ok()?))
}

/// Most memory that this process has had since the last call, in kilobytes, where Linux tells it.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Begins anew from what it has now.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default()
}
