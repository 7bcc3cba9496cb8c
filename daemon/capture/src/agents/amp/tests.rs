//! Threads of Amp's, and what is right to make of them.

use super::*;
use crate::agents::testing::{self, rows};

fn read_file(text: &str) -> Vec<String> {
    rows(&testing::document(read, "/t/threads/T-9.json", text))
}

const MESSAGE: &str = r#"{"messageId":3,"role":"assistant","usage":{"model":"claude-opus-4-8","timestamp":"2026-11-20T09:02:00Z","inputTokens":10,"outputTokens":210,"cacheReadInputTokens":5000,"cacheCreationInputTokens":400,"totalTokens":5620,"credits":1.2}}"#;
const EVENT: &str = r#"{"id":"e1","timestamp":"2026-11-20T09:02:00Z","model":"claude-opus-4-8","tokens":{"input":10,"output":210},"credits":1.2,"toMessageId":3}"#;

#[test]
fn both_ways_of_telling_are_one_call() {
    let whole = "T-1 claude-opus-4-8 10+210 r5000 w400";
    let half = MESSAGE.replace(r#""inputTokens":10,"outputTokens":210,"#, "");
    for (messages, events, wanted) in [
        (MESSAGE, "", vec![whole]),
        (MESSAGE, EVENT, vec![whole]),
        (&*half, EVENT, vec![whole]),
        ("", EVENT, vec!["T-1 claude-opus-4-8 10+210 r0 w0"]),
        // A message that has no usage, and a call of the user's.
        (r#"{"messageId":3,"role":"assistant"}"#, "", vec![]),
        (&*MESSAGE.replace("assistant", "user"), "", vec![]),
        (
            &*MESSAGE.replace(":10,", ":null,"),
            "",
            vec!["T-1 claude-opus-4-8 0+210 r5000 w400"],
        ),
    ] {
        let text = format!(r#"{{"id":"T-1","messages":[{messages}],"usageLedger":{{"events":[{events}]}}}}"#);
        assert_eq!(read_file(&text), wanted, "{text}");
    }
}

#[test]
fn a_thread_as_the_program_writes_it() {
    let text = r#"{"v":27,"id":"T-7","created":1761596096076,"messages":[
        {"role":"user","messageId":0,"content":[{"type":"text","text":"hi"}],"meta":{"sentAt":1761596105455}},
        {"role":"assistant","content":[],"state":{"type":"complete"},"messageId":1,"usage":{"model":"claude-sonnet-4-5-20250929",
         "maxInputTokens":968000,"inputTokens":9,"outputTokens":70,"cacheCreationInputTokens":800,"cacheReadInputTokens":14000,
         "totalInputTokens":14809,"credits":0.8277,"creditsSinceLastUserMessage":0.8857}}],
        "env":{"initial":{"trees":[{"displayName":"app","uri":"file:///w/app","repository":{"type":"git","ref":"refs/heads/main",
         "sha":"6d30"}},{"uri":"file:///w/other","repository":{"ref":"refs/heads/x"}}],"platform":{"os":"linux"}}},
        "usageLedger":{"events":[
         {"id":"e0","timestamp":"2025-10-27T20:15:06.686Z","model":"claude-3-5-haiku-20241022","credits":0.058,
          "tokens":{"input":590,"output":27},"operationType":"title-generation","fromMessageId":0,"toMessageId":0},
         {"id":"e1","timestamp":"2025-10-27T20:15:07.762Z","model":"claude-sonnet-4-5-20250929","credits":0.8277,
          "tokens":{"input":9,"output":70},"operationType":"inference","fromMessageId":0,"toMessageId":1}]},
        "~debug":{"lastInferenceUsage":{"inputTokens":9,"thinkingBudget":4000}}}"#;
    let mut found = testing::document(read, "/t/threads/T-7.json", text);
    assert_eq!(
        rows(&found),
        [
            "T-7 claude-sonnet-4-5-20250929 9+70 r14000 w800",
            "T-7 claude-3-5-haiku-20241022 590+27 r0 w0"
        ]
    );
    found.take_unknown(0);
    assert_eq!((found.failures, found.unknown), (0, vec![]));
    let call = &found.observations[0];
    assert_eq!(call.reported_cost, Pico::parse_usd("0.008277"));
    assert_eq!(call.at_ms, 1_761_596_107_762);
    let place = call.place.as_ref().unwrap();
    assert_eq!(
        (&*call.who.project, &*place.branch, &*place.commit),
        ("/w/app", "main", "6d30")
    );
}

#[test]
fn a_message_may_say_model_and_time_itself() {
    let text = r#"{"id":"T-1","messages":[{"role":"assistant","model":"m","timestamp":"2026-11-20T09:02:00Z","usage":{"inputTokens":"3","outputTokens":4.0}}]}"#;
    let found = testing::document(read, "/t/threads/T-1.json", text);
    assert_eq!(rows(&found), ["T-1 m 3+4 r0 w0"]);
    assert_eq!(found.observations[0].at_ms, 1_795_165_320_000);
}

#[test]
fn a_forked_thread_has_the_same_calls_and_two_messages_are_two() {
    let thread = |id: &str, messages: &str| format!(r#"{{"id":"{id}","messages":[{messages}]}}"#);
    let keys = |text: &str| testing::keys(&testing::document(read, "/t/T-9.json", text));
    let other = MESSAGE.replace(":3,", ":5,");
    assert_eq!(keys(&thread("T-1", MESSAGE)), keys(&thread("T-2", MESSAGE)));
    let both = keys(&thread("T-1", &format!("{MESSAGE},{other}")));
    assert_eq!(both.len(), 2);
    assert_ne!(both[0], both[1]);
}

/// A thread as versions of 2026 write it: the events come when the account was asked what the call cost.
fn thread(id: &str, more: &str, events: &str) -> String {
    format!(
        r#"{{"v":18,"id":"{id}","created":1795164900000,"messages":[
        {{"role":"user","messageId":0,"content":[{{"type":"text","text":"go"}}],"meta":{{"sentAt":1795165000000}}}},
        {{"role":"assistant","messageId":1,"state":{{"type":"complete","stopReason":"tool_use"}},"usage":{{"model":"claude-opus-4-8",
        "maxInputTokens":968000,"inputTokens":1074,"outputTokens":76,"cacheCreationInputTokens":98,"cacheReadInputTokens":322,
        "totalInputTokens":1494,"credits":0}}}}{more}],"usageLedger":{{"events":[{events}]}}}}"#
    )
}

const OF_MESSAGE: &str = r#"{"id":"e1","timestamp":"2026-11-20T09:02:00Z","model":"claude-opus-4-8","credits":0,"tokens":{"input":1074,"output":76},"operationType":"inference","fromMessageId":0,"toMessageId":1}"#;
const OF_SUBAGENT: &str = r#"{"id":"e2","timestamp":"2026-11-20T09:02:09Z","model":"claude-opus-4-8","tokens":{"input":500,"output":20},"operationType":"subagent","subagentThreadID":"T-2","fromMessageId":1,"toMessageId":1}"#;

#[test]
fn an_event_that_comes_later_makes_no_second_call() {
    let mut documents = testing::Documents::new(read, "/t/threads/T-1.json");
    let early = documents.read(&thread("T-1", "", ""));
    assert_eq!(rows(&early), ["T-1 claude-opus-4-8 1074+76 r322 w98"]);
    assert_eq!(early.observations[0].at_ms, 1_795_165_000_000);
    let mut known = testing::keys(&early);
    for events in [OF_MESSAGE.to_owned(), format!("{OF_MESSAGE},{OF_SUBAGENT}")] {
        let found = documents.read(&thread("T-1", "", &events));
        assert_eq!(testing::keys(&found), known, "{events}");
        assert_eq!(found.observations[0].at_ms, 1_795_165_320_000);
    }
    // A fork that goes on has the same call and one of its own; an answer that is not all here has none yet.
    let more = |state: &str, output: u32| {
        format!(
            r#",{{"role":"assistant","messageId":3,"state":{{"type":"{state}"}},"usage":{{"inputTokens":9,"outputTokens":{output}}}}}"#
        )
    };
    assert_eq!(
        testing::keys(&documents.read(&thread("T-1", &more("streaming", 1), ""))),
        known
    );
    let forks = [("T-1", 5), ("T-5", 6)];
    let keys =
        forks.map(|(id, output)| testing::keys(&documents.read(&thread(id, &more("complete", output), ""))));
    assert_eq!((keys[0][0], keys[1][0], keys[0].len()), (known[0], known[0], 2));
    known.extend([keys[0][1], keys[1][1]]);
    known.sort();
    known.dedup();
    assert_eq!(known.len(), 3);
}

#[test]
fn what_tools_and_subagents_asked() {
    let old = OF_SUBAGENT.replace("\"subagentThreadID\":\"T-2\",", "");
    let oracle = old.replace("\"subagent\"", "\"oracle\"");
    let read = |events: &str| testing::document(read, "/t/threads/T-1.json", &thread("T-1", "", events));
    for (event, of) in [(&*oracle, "oracle"), (&*old, "subagent")] {
        let found = read(&format!("{event},{OF_MESSAGE}"));
        let calls = &found.observations;
        assert_eq!(
            rows(&found),
            [
                "T-1 claude-opus-4-8 1074+76 r322 w98",
                "T-1 claude-opus-4-8 500+20 r0 w0"
            ]
        );
        assert_eq!((calls[0].sidechain, calls[1].sidechain), (false, true));
        assert_eq!(calls[1].place.as_ref().map(|place| &*place.subagent), Some(of));
    }
    let child = thread("T-2", "", "").replace("\"v\":18", "\"v\":18,\"mainThreadID\":\"T-1\"");
    let found = testing::document(super::read, "/t/threads/T-2.json", &child);
    assert!(found.observations[0].sidechain);
}

#[test]
fn what_is_broken_costs_only_itself() {
    for bad in ["-1", "NaN", "1e99", "\"x\"", "{}"] {
        let broken = MESSAGE.replace(":210,", &format!(":{bad},"));
        let text = format!(r#"{{"messages":[{broken},null,7,{MESSAGE}]}}"#);
        let found = testing::document(read, "/t/T-9.json", &text);
        assert_eq!((rows(&found).len(), found.failures), (1, 1), "{bad}");
        assert_eq!(found.shown[0].0, 13, "{bad}");
        assert_eq!(&*found.observations[0].who.session, "T-9");
    }
    for whole in ["", "[]", "{\"messages\":[", "\u{feff}x", "7"] {
        assert_eq!(
            testing::document(read, "/t/T-9.json", whole).failures,
            1,
            "{whole}"
        );
    }
}
