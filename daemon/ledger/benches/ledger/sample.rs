//! Calls that look like a year of several agents, and a directory for the ledger.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, OnceLock};

use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokmon_core::Name;
use tokmon_core::id::Key;
use tokmon_core::observation::{Attribution, Observation, Provenance};
use tokmon_core::price::PriceBook;
use tokmon_core::tokens::Tokens;
use tokmon_core::waste::WasteRules;
use tokmon_ledger::{Ledger, Settings, SystemClock};

/// A place for one ledger, removed at the end.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Home {
        Home(TempDir::new().unwrap())
    }

    pub(crate) fn open(&self) -> Ledger {
        let settings = Settings {
            book: PriceBook::bundled(),
            waste: WasteRules::default(),
            runaway: Default::default(),
            keep_notes: true,
            zone: TimeZone::UTC,
            user: "me".into(),
            cache_bytes: 64 << 20,
        };
        Ledger::open(
            &self.0.path().join("ledger.redb"),
            settings,
            Arc::new(SystemClock),
        )
        .unwrap()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.path().join("ledger.redb").metadata().unwrap().len()
    }

    pub(crate) fn file(&self) -> File {
        File::create(self.0.path().join("sync")).unwrap()
    }

    /// What a disk can do at best: a few bytes, durably.
    pub(crate) fn sync(&self, file: &mut File) {
        file.write_all(&[7; 512]).unwrap();
        file.sync_data().unwrap();
    }
}

/// Names that many calls share, made once, as a reader of files keeps them.
struct Names {
    agents: [Name; 3],
    models: [(Name, Name); 4],
    projects: Vec<Name>,
    sessions: Vec<Name>,
    tools: [Name; 6],
    paths: Vec<Name>,
    user: Name,
    kind: Name,
}

fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| Names {
        agents: ["claude-code", "codex", "cursor"].map(Name::from),
        models: [
            ("anthropic", "claude-sonnet-4-5"),
            ("anthropic", "claude-opus-4-5"),
            ("anthropic", "claude-haiku-4-5"),
            ("openai", "gpt-5"),
        ]
        .map(|(provider, model)| (provider.into(), model.into())),
        projects: (0..20)
            .map(|i| format!("/home/me/work/project-{i}").into())
            .collect(),
        sessions: (0..10_000)
            .map(|i| format!("5b0c4a7e-0000-4000-8000-{i:012}").into())
            .collect(),
        tools: ["", "Read", "Bash", "Edit", "Grep", "Task"].map(Name::from),
        paths: (0..10_000)
            .map(|i| format!("/home/me/.claude/projects/p/{i}.jsonl").into())
            .collect(),
        user: "me".into(),
        kind: "claude-code-transcript".into(),
    })
}

/// The n-th call of a year: a hundred calls a session, a session at a time.
pub(crate) fn call(n: u64) -> Observation {
    let names = names();
    let session = usize::try_from(n / 100).unwrap_or(0);
    let at = |len: usize, by: usize| by % len;
    // From January 2025, a call every half minute: a million fills a year.
    let at_ms = 1_735_689_600_000 + i64::try_from(n % 1_750_000).unwrap_or(0) * 31_000;
    let (provider, model) = &names.models[at(4, session / 7 + usize::try_from(n % 11 / 10).unwrap_or(0))];
    Observation {
        key: Key::new(Key::day_of(at_ms), &["bench", &n.to_string()]),
        at_ms,
        who: Attribution {
            agent: names.agents[at(3, session)].clone(),
            session: names.sessions[at(10_000, session)].clone(),
            project: names.projects[at(20, session / 3)].clone(),
            user: names.user.clone(),
            tool: names.tools[at(6, usize::try_from(n * 7 / 3).unwrap_or(0))].clone(),
            context: None,
        },
        provider: provider.clone(),
        model: model.clone(),
        tokens: Tokens {
            input: n % 37,
            output: 100 + n % 900,
            cache_read: 20_000 + n % 50_000,
            cache_write_5m: n % 3_000,
            ..Tokens::default()
        },
        line_hash: n,
        request_hash: n,
        source: Provenance {
            kind: names.kind.clone(),
            path: names.paths[at(10_000, session)].clone(),
            offset: n % 100 * 3_000,
            lines: 2,
        },
        ..Observation::default()
    }
}
