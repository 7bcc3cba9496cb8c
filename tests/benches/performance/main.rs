//! Every performance goal that exists in this version, measured with the real programs, the peer beside it.
//!
//! `cargo bench -p tokmon-tests` runs all sections; names after `--` choose some, `--list` lists them. How to read
//! the output and what can be set: `tests/benches/README.md`.

mod bench;
mod budgets;
mod calls;
mod capture;
mod corpus;
mod figures;
mod idle;
mod ledger;
mod peers;
mod process;
mod programs;
mod records;

use std::process::ExitCode;
use std::time::Instant;

use bench::Bench;

/// A section with its name and what it shows.
struct Section {
    name: &'static str,
    shows: &'static str,
    run: fn(&Bench),
}

const SECTIONS: [Section; 17] = [
    section(
        "import",
        "cold import of a corpus, exactness",
        capture::cold_import,
    ),
    section("restart", "start on an unchanged corpus", capture::restart),
    section("tail", "line appended → visible to a follower", capture::tail),
    section("idle-files", "very many files watched, idle", idle::files),
    section("idle", "daemon idle with 10,000 records", idle::daemon),
    section(
        "report",
        "whole runs of `report daily` over a year",
        programs::report,
    ),
    section("status", "whole runs of `status`", programs::status),
    section("mcp", "tokmon-mcp: first reply, memory, size", programs::mcp),
    section("tools", "what tool definitions cost a model", programs::tools),
    section("handshake", "a round trip over the socket", calls::handshake),
    section("record", "one durable record at a time", calls::record),
    section("clients", "64 clients recording at once", calls::clients),
    section("check", "asking a budget, nothing changes", budgets::check),
    section(
        "reserve",
        "64 clients reserve and settle on one budget",
        budgets::reserve,
    ),
    section(
        "hooks",
        "whole runs of `hook`, `statusline`, `quota` and `budget check`",
        budgets::programs,
    ),
    section("bulk", "bulk import, size of the ledger", ledger::bulk),
    section("open", "open after kill -9", ledger::open),
];

const fn section(name: &'static str, shows: &'static str, run: fn(&Bench)) -> Section {
    Section { name, shows, run }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let names: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    // `cargo test --benches` runs this too, without `--bench`: there is nothing to measure then.
    if !has("--bench") || has("--list") {
        list();
        return ExitCode::SUCCESS;
    }
    for name in &names {
        if SECTIONS.iter().all(|section| section.name != *name) {
            list();
            eprintln!("no section is named {name:?}; the sections are above");
            return ExitCode::from(2);
        }
    }
    let begin = Instant::now();
    println!("programs: {}", tokmon_tests::binaries::dir().display());
    let bench = Bench::new();
    for section in &SECTIONS {
        if names.is_empty() || names.contains(&section.name) {
            let begin = Instant::now();
            println!("\n{}: {}", section.name, section.shows);
            (section.run)(&bench);
            println!("  ({:.1} s)", begin.elapsed().as_secs_f64());
        }
    }
    bench.figures.summary();
    println!("{:.0} s in all", begin.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

fn list() {
    for section in &SECTIONS {
        println!("{:<12} {}", section.name, section.shows);
    }
}
