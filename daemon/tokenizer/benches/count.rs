//! Counting text beside plain `tiktoken-rs`, on everyday texts and on unbroken stretches.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokmon_tokenizer::Tokenizer;

const KB: usize = 1024;

fn fill(unit: &str, bytes: usize) -> String {
    unit.chars().cycle().take(bytes).collect()
}

fn texts() -> Vec<(&'static str, String)> {
    let prose =
        "The daemon keeps one durable ledger of what every agent on the machine spends, right to the token. ";
    let code = "    pub fn count(&self, text: &[u8]) -> Result<Count, TooLarge> {\n        self.inner.get(text.len())\n    }\n";
    let json = "{\"type\":\"assistant\",\"usage\":{\"input_tokens\":1523,\"output_tokens\":87},\"id\":\"msg_01Ab\"}\n";
    vec![
        ("prose_1k", fill(prose, KB)),
        ("prose_1m", fill(prose, KB * KB)),
        ("code_1m", fill(code, KB * KB)),
        ("json_1m", fill(json, KB * KB)),
        ("letter_500k", fill("a", 500 * KB)),
        ("blanks_500k", fill(" ", 500 * KB)),
    ]
}

fn count(c: &mut Criterion) {
    let tokenizer = Tokenizer::new();
    let plain = tiktoken_rs::o200k_base().expect("bundled");
    let mut group = c.benchmark_group("count");
    group.sample_size(10);
    for (name, text) in texts() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::new("tokmon", name), &text, |b, text| {
            b.iter(|| tokenizer.count(black_box(text.as_bytes()), "gpt-5"));
        });
        group.bench_with_input(BenchmarkId::new("tiktoken-rs", name), &text, |b, text| {
            b.iter(|| plain.count_ordinary(black_box(text)));
        });
    }
    group.finish();
}

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("first_count");
    group.sample_size(10);
    group.bench_function("tokmon", |b| b.iter(|| Tokenizer::new().count(b"a", "gpt-5")));
    group.bench_function("tiktoken-rs", |b| b.iter(tiktoken_rs::o200k_base));
    group.finish();
}

criterion_group!(benches, count, load);
criterion_main!(benches);
