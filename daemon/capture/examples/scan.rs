//! Scans a corpus into memory and prints what was found and what it took.
//!
//! `CLAUDE_CONFIG_DIR=DIR [CODEX_HOME=DIR] cargo run --release -p tokmon-capture --example scan`
//!
//! With a `ground_truth.json` in `CLAUDE_CONFIG_DIR` the token sums are compared with it; any difference is an error.

mod cost;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokmon_capture::{Outcome, Progress, Scanner, Shared, Sink, SinkError, find_roots};
use tokmon_core::id::Key;
use tokmon_core::merge::{Candidate, merge};
use tokmon_core::price::PriceBook;
use tokmon_core::runaway::{RunawayRules, Watch};
use tokmon_core::tokens::Tokens;
use tokmon_ledger::store::Position;
use tokmon_ledger::{Chunk, SystemClock};

/// Keeps the best record of every call, by the ledger's own rule.
#[derive(Default)]
struct Memory {
    calls: HashMap<Key, Candidate>,
    positions: HashMap<Arc<str>, Position>,
    chunks: u64,
    observations: u64,
}

impl Sink for &mut Memory {
    fn positions(&mut self) -> Result<Vec<Position>, SinkError> {
        Ok(self.positions.values().cloned().collect())
    }

    fn put(&mut self, _: usize, chunk: Chunk) -> Result<Vec<Outcome>, SinkError> {
        self.chunks += 1;
        for seen in chunk.observations {
            self.observations += 1;
            let key = seen.key;
            let candidate = Candidate::new(seen);
            match self.calls.entry(key) {
                std::collections::hash_map::Entry::Occupied(mut known) => {
                    merge(known.get_mut(), candidate);
                }
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(candidate);
                }
            }
        }
        for position in chunk.positions {
            self.positions.insert(position.path.clone(), position);
        }
        for gone in chunk.forgotten {
            self.positions.remove(&gone);
        }
        Ok(Vec::new())
    }

    fn finish(&mut self) -> Result<Vec<Outcome>, SinkError> {
        Ok(Vec::new())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let roots = find_roots(|name| std::env::var_os(name), &home);
    let mut memory = Memory::default();
    for pass in ["cold", "unchanged"] {
        let shared = Shared::new(&roots, Arc::new(SystemClock));
        let (began, before) = (Instant::now(), cost::so_far().0);
        let mut scanner = Scanner::new(roots.clone(), "me".into(), &mut memory, shared.clone());
        scanner.reload()?;
        scanner.scan()?;
        drop(scanner);
        let (ticks, peak) = cost::so_far();
        println!(
            "{pass}: {:.3} s, {} ticks of CPU (1/100 s), peak {peak}",
            began.elapsed().as_secs_f64(),
            ticks - before
        );
        println!("{:?}", Progress::of(&shared.status(), true));
        for source in shared.status() {
            for failure in source.failures {
                println!("  {}@{}: {}", failure.path, failure.offset, failure.message);
            }
            if !source.error.is_empty() {
                println!("  error: {}", source.error);
            }
        }
    }
    println!(
        "{} chunks, {} observations, {} calls",
        memory.chunks,
        memory.observations,
        memory.calls.len()
    );
    let mut models: HashMap<String, (u64, Tokens, u64)> = HashMap::new();
    let mut sum = Tokens::default();
    for call in memory.calls.values() {
        let seen = &call.seen;
        let model = models
            .entry(format!("{} {}", seen.who.agent, seen.model))
            .or_default();
        model.0 += 1;
        model.1.add(&seen.tokens);
        model.2 += seen.extra_output;
        sum.add(&seen.tokens);
    }
    let mut models: Vec<_> = models.into_iter().collect();
    models.sort_by(|a, b| a.0.cmp(&b.0));
    for (model, (calls, tokens, extra)) in models {
        println!(
            "{model}: {calls} calls, {:?}, {extra} estimated beyond",
            tokens.to_array()
        );
    }
    println!("sum: {:?}", sum.to_array());
    alarms(&memory);
    compare(std::env::var_os("CLAUDE_CONFIG_DIR"), &memory, sum)
}

/// What would have been told of sessions that run away, had all of it been live.
fn alarms(memory: &Memory) {
    let (book, rules) = (PriceBook::bundled(), RunawayRules::default());
    let mut calls: Vec<&Candidate> = memory.calls.values().collect();
    calls.sort_by_key(|call| (call.seen.at_ms, call.seen.key));
    let (mut watch, mut signs, mut sessions) = (Watch::default(), HashMap::new(), HashSet::new());
    for call in calls {
        let seen = &call.seen;
        sessions.insert((seen.who.agent.clone(), seen.who.session.clone()));
        let cost = book.cost(seen).map(|costing| costing.total).unwrap_or_default();
        for episode in watch.called(seen, cost, false, &rules) {
            println!("  {}: {}", episode.session, episode.text());
            *signs.entry(episode.sign.name()).or_insert(0) += 1;
        }
    }
    println!("alarms in {} sessions: {signs:?}", sessions.len());
}

fn compare(corpus: Option<OsString>, memory: &Memory, sum: Tokens) -> Result<(), Box<dyn std::error::Error>> {
    let Some(truth) = corpus
        .map(|dir| Path::new(&dir).join("ground_truth.json"))
        .filter(|path| path.is_file())
    else {
        return Ok(());
    };
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(truth)?)?;
    let figures = [
        ("input", sum.input),
        ("output", sum.output),
        ("cache5m", sum.cache_write_5m),
        ("cache1h", sum.cache_write_1h),
        ("cache_read", sum.cache_read),
    ];
    let calls = memory.calls.len() as u64;
    let wrong: Vec<String> = figures
        .iter()
        .map(|(name, figure)| (*name, *figure, truth["correct"][*name].as_u64()))
        .chain([("calls", calls, truth["unique_messages"].as_u64())])
        .filter(|(_, figure, truth)| Some(*figure) != *truth)
        .map(|(name, figure, truth)| format!("{name}: {figure}, truth {truth:?}"))
        .collect();
    if wrong.is_empty() {
        println!("exact: all figures equal the ground truth");
        Ok(())
    } else {
        Err(wrong.join("; ").into())
    }
}
