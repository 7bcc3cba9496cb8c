//! Examples for the decisions, and the proof that replaying gives the same state.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::budget::{Action, Scope, Span, Unreachable, Weights};
use crate::entry::Entry;
use crate::limits::{MAX_AHEAD_MS, MAX_TOKENS_PER_CALL};
use crate::price::PriceBook;
use crate::state::Rules;
use crate::testing::observation;
use crate::waste::WasteRules;

const NOW: i64 = 1_795_176_000_000; // 2026-11-20T12:00:00Z

fn rules() -> Arc<Rules> {
    Arc::new(Rules {
        bundled: PriceBook::bundled(),
        waste: WasteRules::default(),
        runaway: Default::default(),
        keep_notes: true,
        zone: TimeZone::UTC,
        zones: |name| TimeZone::get(name).ok(),
        user: "me".into(),
    })
}

/// A ledger in miniature: every body becomes the next entry.
struct Book {
    draft: Draft,
    entries: Vec<(Entry, Option<Record>)>,
}

impl Book {
    fn new() -> Book {
        Book {
            draft: Draft::new(rules()),
            entries: Vec::new(),
        }
    }

    fn write(&mut self, body: Body, previous: Option<Record>, now_ms: i64) {
        let entry = Entry {
            seq: self.draft.state.last_seq + 1,
            recorded_at_ms: now_ms,
            by: None,
            body,
        };
        let crossings = self.draft.apply(&entry, previous.as_ref());
        self.entries.push((entry, previous));
        for crossing in crossings {
            self.write(alert(&crossing), None, now_ms);
        }
    }

    fn known(&self, seen: &Observation) -> Option<(u64, Record)> {
        self.entries
            .iter()
            .rev()
            .find_map(|(entry, _)| match &entry.body {
                Body::Usage(r) | Body::Amend { record: r, .. } if r.seen.key == seen.key => {
                    Some((entry.seq, (**r).clone()))
                }
                _ => None,
            })
    }

    fn record(&mut self, seen: Observation, now_ms: i64) -> Recorded {
        let seen = self.draft.prepare(seen, now_ms, Manner::Ask).unwrap();
        let known = self.known(&seen);
        let held = known
            .as_ref()
            .map_or(Held::New, |(seq, record)| Held::Known(*seq, record));
        let recorded = self.draft.record(Candidate::new(seen), held, now_ms);
        if let Recorded::Written { opened, body, .. } = &recorded {
            opened
                .iter()
                .for_each(|body| self.write(body.clone(), None, now_ms));
            self.write(body.clone(), known.map(|(_, record)| record), now_ms);
        }
        recorded
    }
}

#[test]
fn a2_cost_is_exact_and_a_second_sight_is_no_second_call() {
    let mut book = Book::new();
    let Recorded::Written {
        body: Body::Usage(record),
        ..
    } = book.record(observation("a", NOW), NOW)
    else {
        panic!("a new call is written");
    };
    assert_eq!(record.cost.unwrap().to_string(), "0.0165");
    assert!(matches!(
        book.record(observation("a", NOW), NOW),
        Recorded::Known(Loss::Copy)
    ));
    let mut better = observation("a", NOW);
    better.tokens.output = 900;
    let Recorded::Written {
        body: Body::Amend { replaces, reason, .. },
        ..
    } = book.record(better, NOW)
    else {
        panic!("a better record amends");
    };
    assert_eq!((replaces, reason), (1, AmendReason::Better));
}

#[test]
fn calls_without_a_session_share_the_open_one_until_it_is_reset() {
    let mut book = Book::new();
    let mut seen = observation("a", NOW);
    seen.who.session = "".into();
    let Recorded::Written {
        opened: Some(Body::SessionReset { ended, started, .. }),
        ..
    } = book.record(seen.clone(), NOW)
    else {
        panic!("a session is opened");
    };
    assert_eq!(&*ended, "");
    seen.key = crate::id::Key::new(0, &["b"]);
    let Recorded::Written {
        opened: None,
        body: Body::Usage(record),
        ..
    } = book.record(seen, NOW)
    else {
        panic!("the open session is used");
    };
    assert_eq!(record.seen.who.session, started);
    let reset = book.draft.reset_session(&"claude-code".into(), NOW).unwrap();
    let Body::SessionReset {
        ended, started: next, ..
    } = &reset
    else {
        panic!("a reset")
    };
    assert_eq!(*ended, started);
    assert_ne!(*next, started);
}

#[test]
fn a_purged_call_counts_no_more_and_an_old_one_that_is_new_counts() {
    let mut book = Book::new();
    let body = book.draft.purge(NOW - 1_000, 0, NOW).unwrap().unwrap();
    book.write(body, None, NOW);
    let old = Candidate::new(observation("a", NOW - 1_001));
    let again = book.draft.record(old, Held::Purged, NOW);
    assert!(matches!(again, Recorded::Purged));
    assert!(matches!(
        book.record(observation("b", NOW - 1_001), NOW),
        Recorded::Written { .. }
    ));
    assert_eq!(book.draft.purge(NOW - 2_000, 0, NOW).unwrap(), None);
    assert!(book.draft.purge(NOW + 1, 0, NOW).is_err());
}

#[test]
fn what_is_wrong_is_named() {
    let draft = Draft::new(rules());
    let with = |change: fn(&mut Observation)| {
        let mut seen = observation("a", NOW);
        change(&mut seen);
        seen
    };
    let cases = [
        (with(|s| s.model = "".into()), "model"),
        (with(|s| s.who.project = "x".repeat(1025).into()), "project"),
        (with(|s| s.at_ms = NOW + MAX_AHEAD_MS + 1), "at_ms"),
        (with(|s| s.at_ms = 0), "at_ms"),
        (
            with(|s| s.tokens.cache_read = MAX_TOKENS_PER_CALL + 1),
            "tokens.cache_read",
        ),
        (with(|s| s.tokens.reasoning = 801), "tokens.reasoning"),
        (with(|s| s.reported_cost = Some(Pico(-1))), "reported_cost"),
    ];
    for (seen, wrong) in cases {
        match draft.prepare(seen, NOW, Manner::Ask) {
            Err(Refusal::Invalid { field, .. }) => assert_eq!(field, wrong),
            other => panic!("{wrong}: {other:?}"),
        }
    }
    let read = draft
        .prepare(with(|s| s.tokens.reasoning = 801), NOW, Manner::Read)
        .unwrap();
    assert_eq!(read.tokens.reasoning, 800);
}

#[test]
fn gaps_are_filled_and_notes_are_cut() {
    let draft = Draft::new(rules());
    let mut seen = observation("a", NOW);
    seen.who.agent = "".into();
    seen.who.user = "".into();
    seen.provider = "".into();
    seen.who.context = Some("ä".repeat(300).into());
    let seen = draft.prepare(seen, NOW, Manner::Ask).unwrap();
    assert_eq!(
        (&*seen.who.agent, &*seen.who.user, &*seen.provider),
        ("api", "me", "anthropic")
    );
    assert_eq!(seen.who.context.unwrap().chars().count(), 200);
}

#[test]
fn replaying_the_entries_or_a_checkpoint_and_the_rest_gives_the_same_state() {
    let mut book = Book::new();
    let budget = Budget {
        name: "daily".into(),
        scope: Scope::default(),
        limit_tokens: 20_000,
        limit_usd: Pico::ZERO,
        limit_requests: 0,
        window: Span::Day,
        timezone: "Europe/Berlin".into(),
        warn_percent: 0,
        critical_percent: 0,
        action: Action::Warn,
        weights: Weights::default(),
        shadow: false,
        unreachable: Unreachable::Allow,
        on_runaway: Default::default(),
        adjust: None,
    };
    let account = book.draft.open_account(budget).unwrap();
    let body = book.draft.set_budget_body(&account);
    book.write(body, None, NOW);
    let row = PriceRow {
        model: "mine".into(),
        ..(*PriceBook::bundled().get("", "gpt-4o", NOW).unwrap()).clone()
    };
    let row = PriceRow {
        origin: crate::price::Origin::Override,
        provider: "".into(),
        ..row
    };
    let body = book.draft.set_prices_body(&[row]).unwrap();
    book.write(body, None, NOW);
    let mut checkpoint = Vec::new();
    for i in 0..40 {
        let now = NOW + i * 1_000;
        let mut seen = observation(&format!("call {}", i % 30), now);
        seen.tokens.output += i as u64;
        seen.who.tool = "Read".into();
        if i % 4 == 0 {
            seen.who.session = "".into();
        }
        book.record(seen, now);
        if i == 20 {
            checkpoint = book.draft.save();
        }
    }
    let alerts = book
        .entries
        .iter()
        .filter(|(e, _)| matches!(e.body, Body::BudgetAlert { .. }))
        .count();
    assert!(alerts >= 2, "{alerts} alerts");
    let saved = book.draft.save();
    let mut from_all = Draft::new(rules());
    let mut from_checkpoint = Draft::load(rules(), &checkpoint).unwrap();
    let behind = from_checkpoint.state.last_seq;
    for (entry, previous) in &book.entries {
        from_all.replay(entry, previous.as_ref());
        if entry.seq > behind {
            from_checkpoint.replay(entry, previous.as_ref());
        }
    }
    assert_eq!(
        String::from_utf8(from_all.save()).unwrap(),
        String::from_utf8(saved.clone()).unwrap()
    );
    assert_eq!(from_checkpoint.save(), saved);
    assert_eq!(Draft::load(rules(), &saved).unwrap().save(), saved);
    assert!(Draft::load(rules(), b"{}").is_none());
}
