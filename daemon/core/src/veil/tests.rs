//! Veiled names: the same under one key, others under another, and nothing raw left over.

use proptest::prelude::*;

use super::*;
use crate::entry::{Body, Entry};

fn veil(secret: &str) -> Veil {
    Veil::new(secret.as_bytes()).expect("a key")
}

#[test]
fn the_same_name_has_the_same_hash_under_the_same_key_only() {
    let (mine, other) = (veil("0123456789abcdef"), veil("0123456789abcdeg"));
    assert_eq!(mine.name("/home/me"), mine.name("/home/me"));
    assert_ne!(mine.name("/home/me"), mine.name("/home/me/"));
    assert_ne!(mine.name("/home/me"), other.name("/home/me"));
    assert_eq!(&*mine.name(""), "");
    assert_eq!(mine.name("x").len(), 18);
    for wrong in ["", "short", &"x".repeat(5_000)] {
        assert!(Veil::new(wrong.as_bytes()).is_err(), "{}", wrong.len());
    }
}

#[test]
fn what_the_world_knows_stays() {
    let (veil, public) = (veil("0123456789abcdef"), Public::bundled());
    for known in ["anthropic", "claude-sonnet-4-5"] {
        assert_eq!(&*veil.known(&known.into(), &public), known);
    }
    assert_ne!(&*veil.known(&"acme-secret-1".into(), &public), "acme-secret-1");
    assert_eq!(&*veil.agent(&"codex".into()), "codex");
    assert_ne!(&*veil.agent(&"acme-bot".into()), "acme-bot");
}

proptest! {
    #[test]
    fn no_raw_name_is_left_in_an_act(names in prop::collection::vec("[A-Z]{6,12}", 12)) {
        let name = |at: usize| -> Name { names[at].as_str().into() };
        let reservation = crate::budget::Reservation {
            id: name(0),
            caller: crate::budget::Caller {
                agent: name(1),
                session: name(2),
                task: name(3),
                project: name(4),
                user: name(5),
                tool: name(6),
                provider: name(7),
                model: name(8),
            },
            estimate: Default::default(),
            at_ms: 1,
            expires_at_ms: 2,
            content: 3,
        };
        let mut grounds = crate::budget::Grounds::refused_by(name(9), crate::budget::Unit::Tokens, 0);
        grounds.would_deny = vec![name(10)];
        let entry = Entry {
            seq: 1,
            recorded_at_ms: 1,
            by: Some(Arc::new(Actor::new(&names[11], &names[5], 77))),
            body: Body::Reserved(Box::new(reservation), Some(Box::new(grounds))),
        };
        let mut act = Act::of(&entry).expect("an act");
        veil("0123456789abcdef").act(&mut act, &Public::bundled());
        let shown = format!("{act:?} {}", act.text());
        for name in &names {
            prop_assert!(!shown.contains(name.as_str()), "{name} in {shown}");
        }
        prop_assert_eq!(act.by.map(|by| by.pid), Some(0));
    }

    #[test]
    fn replacing_leaves_no_name(text in "[a-d ]{0,40}", names in prop::collection::btree_set("[a-d]{1,4}", 1..5)) {
        let mut pairs: Vec<(String, String)> = names.iter().map(|name| (name.clone(), "X".to_owned())).collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.0.len()));
        let out = replaced(&text, &pairs);
        for name in &names {
            prop_assert!(!out.contains(name.as_str()), "{name} in {out}");
        }
    }
}
