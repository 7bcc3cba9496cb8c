//! Every kind of entry is written and read back.

use super::super::codec::seal_message;
use super::*;
use crate::store::{record_of, samples};
use tokmon_core::actor::Actor;
use tokmon_core::budget::{Binding, Caller, End, Estimate, Grounds, Lift, Reservation, Unit, Used};
use tokmon_core::denial::Denial;
use tokmon_core::entry::Whose;
use tokmon_core::merge::Candidate;
use tokmon_core::runaway::{Episode, Sign};

/// Writes an entry and reads it back; ids are places in a list of names.
fn there_and_back(entry: &Entry) -> Result<Entry> {
    let mut names: Vec<Name> = vec!["".into()];
    let ids = match record_of(entry) {
        Some(record) => ids_of(record, |_, name| {
            names.push(name.clone());
            Ok(u32::try_from(names.len() - 1).unwrap_or(u32::MAX))
        })?,
        None => Ids::default(),
    };
    let mut bytes = Vec::new();
    seal_message(&entry.seq.to_le_bytes(), &to_row(entry, &ids), &mut bytes);
    from_bytes(entry.seq, &bytes, |_, id| Ok(names[id as usize].clone()))
}

fn entry(body: Body) -> Entry {
    Entry {
        seq: 7,
        recorded_at_ms: -1,
        by: None,
        body,
    }
}

#[test]
fn every_kind_of_entry_comes_back() {
    let mut record = samples::call(43, 5);
    let seen = &mut record.seen;
    seen.tokens = Tokens::from_array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, u64::MAX]);
    seen.tier = Tier::Batch;
    seen.confidence = Confidence::Estimated;
    seen.kind = CallKind::CacheHit;
    seen.reported_cost = Some(Pico(i128::MIN));
    (seen.fast, seen.us_region, seen.failed, seen.sidechain) = (true, true, true, true);
    seen.extra_output = 5;
    seen.task = "t".into();
    seen.who.context = Some("".into());
    seen.request_id = "req_1".into();
    seen.place = Some(Arc::new(Place {
        branch: "main".into(),
        mcp_server: "github".into(),
        ..Place::default()
    }));
    let mut other = samples::call(44, 9);
    other.seen.kind = record.seen.kind;
    other.seen.tokens.output = 1;
    record.heard = [&record, &other].map(Candidate::of).into();
    let record = Box::new(record);
    let estimate = Estimate {
        usage: Tokens::from_array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, u64::MAX]),
        tokens: u64::MAX,
        cost: Some(Pico(i128::MAX)),
        requests: 1,
    };
    let whose = Box::new(Whose {
        agent: "a".into(),
        session: "s".into(),
    });
    let grounds = Grounds {
        binding: Some(Binding {
            budget: "b".into(),
            unit: Unit::Usd,
            limit: 10,
            posted: 7,
            pending: 1,
            kept: 0,
            available: 2,
            asked: i128::MAX,
            resets_at_ms: -1,
        }),
        would_deny: vec!["shadow".into()],
    };
    let bodies = [
        Body::Usage(record.clone()),
        Body::Amend {
            replaces: 3,
            reason: AmendReason::Repriced,
            record,
        },
        Body::SessionReset {
            agent: "a".into(),
            ended: "".into(),
            started: "b".into(),
        },
        Body::BudgetSet("{}".into()),
        Body::BudgetRemoved("".into()),
        Body::Official("{}".into()),
        Body::Split {
            agent: "a".into(),
            session: "s".into(),
            model: "m".into(),
            calls: 2,
        },
        Body::Quota(Box::new(tokmon_core::quota::Reading {
            agent: "claude-code".into(),
            account: "".into(),
            limit: "five_hour".into(),
            window_minutes: 300,
            used: 1_250,
            resets_at_ms: 1_795_176_000_000,
            at_ms: 1_795_170_000_000,
            plan: "max".into(),
            source: "statusline".into(),
        })),
        Body::BudgetAlert {
            budget: "b".into(),
            threshold: 80,
            percent: 0,
            window_start_ms: -3,
            message: "m".into(),
        },
        Body::TaskAllocated(Box::new(tokmon_core::task::Allocation {
            agent: "a".into(),
            session: "s".into(),
            task: "t".into(),
            priority: 9,
            tokens: u64::MAX,
            cost: Pico(i128::MAX),
        })),
        Body::ApiSet("{}".into()),
        Body::TaskCompleted {
            session: "s".into(),
            task: "t".into(),
        },
        Body::BudgetLifted {
            budget: "b".into(),
            lift: Lift {
                by: Used {
                    tokens: u64::MAX,
                    cost: Pico(i128::MIN),
                    requests: 3,
                },
                until_ms: i64::MAX,
                session: "s".into(),
                reason: "why".into(),
                ..Lift::default()
            },
        },
        Body::BudgetUnlifted {
            budget: "b".into(),
            session: "".into(),
        },
        Body::Denied(Box::new(Denial {
            caller: Caller::default(),
            estimate,
            grounds: grounds.clone(),
            count: u64::MAX,
            times: 3,
            first_ms: i64::MIN,
            last_ms: i64::MAX,
        })),
        Body::Reserved(
            Box::new(Reservation {
                id: "r".into(),
                caller: Caller {
                    agent: "a".into(),
                    session: "s".into(),
                    task: "t".into(),
                    project: "p".into(),
                    user: "u".into(),
                    tool: "x".into(),
                    provider: "y".into(),
                    model: "m".into(),
                },
                estimate,
                at_ms: -1,
                expires_at_ms: i64::MAX,
                content: u64::MAX,
            }),
            Some(Box::new(grounds.clone())),
        ),
        Body::Extended {
            id: "r".into(),
            whose: whose.clone(),
            grounds: Some(Box::new(Grounds::default())),
            estimate: Estimate {
                cost: None,
                ..estimate
            },
            expires_at_ms: i64::MIN,
        },
        Body::Resolved {
            id: "r".into(),
            whose: whose.clone(),
            end: End::Settled,
            content: 7,
        },
        Body::Resolved {
            id: "r".into(),
            whose: Box::default(),
            end: End::Released,
            content: 0,
        },
        Body::Resolved {
            id: "".into(),
            whose: Box::default(),
            end: End::Expired,
            content: 0,
        },
        Body::Runaway(Box::new(Episode {
            agent: "a".into(),
            session: "s".into(),
            sign: Sign::CacheMisses,
            figure: u64::MAX,
            spent: Pico(i128::MIN),
            stops: vec!["b".into()],
        })),
        Body::Repriced { records: 3 },
        Body::LedgerReplaced {
            from: "".into(),
            set_aside: "/aside".into(),
        },
        Body::Learned("[]".into()),
        Body::PriceSet("[]".into()),
        Body::PriceRemoved {
            provider: "".into(),
            model: "m".into(),
        },
        Body::Purged {
            horizon_ms: i64::MIN,
            records: u64::MAX,
        },
    ];
    for body in bodies {
        for by in [None, Some(Arc::new(Actor::new("me", "test 1", 7)))] {
            let call = matches!(body, Body::Usage(_) | Body::Amend { .. });
            let mut entry = entry(body.clone());
            entry.by = by;
            assert_eq!(there_and_back(&entry).expect("readable"), entry);
            let mut value = Vec::new();
            seal_message(
                &entry.seq.to_le_bytes(),
                &to_row(&entry, &Ids::default()),
                &mut value,
            );
            assert_eq!(is_call(entry.seq, &value).unwrap(), call, "{entry:?}");
        }
    }
}

#[test]
fn kinds_tiers_and_reasons_come_back() {
    for tier in [Tier::Standard, Tier::Priority, Tier::Flex, Tier::Batch] {
        for confidence in [Confidence::Reported, Confidence::Counted, Confidence::Estimated] {
            for kind in [
                CallKind::Completion,
                CallKind::Embedding,
                CallKind::CacheHit,
                CallKind::Several,
            ] {
                for reason in [
                    AmendReason::Better,
                    AmendReason::Attribution,
                    AmendReason::Repriced,
                ] {
                    let mut record = samples::call(1, 5);
                    record.seen.tier = tier;
                    record.seen.confidence = confidence;
                    record.seen.kind = kind;
                    let entry = entry(Body::Amend {
                        replaces: 1,
                        reason,
                        record: Box::new(record),
                    });
                    assert_eq!(there_and_back(&entry).expect("readable"), entry);
                }
            }
        }
    }
}

#[test]
fn a_usual_record_takes_less_than_150_bytes() {
    let entry = entry(Body::Usage(Box::new(samples::call(12_345, samples::START_MS))));
    let mut bytes = Vec::new();
    let ids = [1, 2, 3, 40, 10_000, 10, 1, 2, 10_000, 0];
    seal_message(&entry.seq.to_le_bytes(), &to_row(&entry, &ids), &mut bytes);
    assert!(bytes.len() < 150, "{}", bytes.len());
}

#[test]
fn an_unknown_number_is_damage() {
    let row = |record: RecordRow| EntryRow {
        by: None,
        recorded_ms: 0,
        body: Some(BodyRow::Usage(record)),
    };
    let good = RecordRow {
        ids: vec![0; KINDS_OF_ALL],
        ..RecordRow::default()
    };
    let wrong = [
        RecordRow {
            tier: 4,
            ..good.clone()
        },
        RecordRow {
            confidence: 3,
            ..good.clone()
        },
        RecordRow {
            kind: 4,
            ..good.clone()
        },
        RecordRow {
            ids: vec![0; 3],
            ..good.clone()
        },
        RecordRow {
            tokens: vec![0; 12],
            ..good.clone()
        },
        RecordRow {
            waste: vec![FindingRow::default()],
            ..good.clone()
        },
    ];
    assert!(from_row(1, row(good), |_, _| Ok("".into())).is_ok());
    for record in wrong {
        let result = from_row(1, row(record), |_, _| Ok("".into()));
        assert!(matches!(result, Err(StoreError::Damaged(_))), "{result:?}");
    }
}
