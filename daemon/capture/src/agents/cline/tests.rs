//! Tasks and sessions, and what is right to make of them.

use super::*;
use crate::agents::Beside;
use crate::agents::testing::{Documents, document, keys, rows};

const TASK_PATH: &str = "/g/saoudrizwan.claude-dev/tasks/1795160000000/ui_messages.json";

fn say(ts: i64, say: &str, text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!(r#"{{"ts":{ts},"type":"say","say":"{say}","text":{text}}}"#)
}

fn request(ts: i64, input: u64, output: u64) -> String {
    let text = format!(
        r#"{{"request":"<task>x</task>","tokensIn":{input},"tokensOut":{output},"cacheReads":4000,"cacheWrites":300,"cost":0.0041}}"#
    );
    say(ts, "api_req_started", &text)
}

fn list(messages: &[String]) -> String {
    format!("[{}]", messages.join(","))
}

fn tasks() -> Documents {
    let mut tasks = Documents::new(task::read, TASK_PATH);
    tasks.origin.beside = Beside(|path, _| {
        let conversation = r#"[{"role":"user","ts":900,"content":[{"type":"text","text":"<environment_details>\n<model>anthropic/claude-sonnet-5</model>"}]},{"role":"assistant","ts":950,"content":"<model>x\"y</model>"},{"role":"user","ts":90000,"content":"<slug>a</slug><model>gpt-5.4</model>"},{"role":"#;
        path.ends_with("1795160000000/api_conversation_history.json")
            .then(|| conversation.as_bytes().to_vec())
    });
    tasks
}

#[test]
fn a_request_counts_when_it_has_ended() {
    let mut tasks = tasks();
    let open = say(1_000, "api_req_started", r#"{"request":"x"}"#);
    assert_eq!(rows(&tasks.read(&list(std::slice::from_ref(&open)))), [""; 0]);
    let text = list(&[
        request(1_000, 150, 90),
        say(1_001, "text", "hello"),
        request(90_500, 10, 5),
    ]);
    let found = tasks.read(&text);
    assert_eq!(
        rows(&found),
        [
            "1795160000000 anthropic/claude-sonnet-5 150+90 r4000 w300",
            "1795160000000 gpt-5.4 10+5 r4000 w300"
        ]
    );
    assert_eq!(
        found.observations[0].reported_cost,
        tokmon_core::money::Pico::parse_usd("0.0041")
    );
    // The same task in another editor.
    let elsewhere = "/other/saoudrizwan.claude-dev/tasks/1795160000000/ui_messages.json";
    assert_eq!(keys(&document(task::read, elsewhere, &text)), keys(&found));
    // A copy of its folder, and the task when its first message has gone; another task is another.
    let copied = "/g/saoudrizwan.claude-dev/tasks/1795160000000 copy/ui_messages.json";
    assert_eq!(keys(&document(task::read, copied, &text)), keys(&found));
    assert_eq!(
        keys(&tasks.read(&list(&[request(90_500, 10, 5)]))),
        keys(&found)[1..]
    );
    let other = document(
        task::read,
        copied,
        &list(&[say(999, "task", "x"), request(90_500, 10, 5)]),
    );
    assert_ne!(keys(&other), keys(&found)[1..]);
    // A request whose model is known is the better record of it.
    let unnamed = document(task::read, elsewhere, &text);
    assert!(found.observations[0].rank() > unnamed.observations[0].rank());
}

#[test]
fn removed_requests_are_counted_once() {
    let removed = |ts, input, output| {
        let text = format!(
            r#"{{"tokensIn":{input},"tokensOut":{output},"cacheReads":8000,"cacheWrites":600,"cost":0.0082}}"#
        );
        say(ts, "deleted_api_reqs", &text)
    };
    // What was booked before it went.
    let mut live = tasks();
    let all = [
        request(1_000, 150, 90),
        request(2_000, 10, 5),
        request(3_000, 7, 3),
    ];
    assert_eq!(rows(&live.read(&list(&all))).len(), 3);
    assert_eq!(rows(&live.read(&list(&all[..1]))).len(), 1);
    let after = list(&[all[0].clone(), removed(4_000, 17, 8)]);
    assert_eq!(rows(&live.read(&after)).len(), 1);
    // Nobody was there when it went.
    let late = tasks().read(&after);
    assert_eq!(
        rows(&late),
        [
            "1795160000000 anthropic/claude-sonnet-5 150+90 r4000 w300",
            "1795160000000 anthropic/claude-sonnet-5 17+8 r8000 w600"
        ]
    );
    // One that was never booked is in a later sum.
    let more = list(&[all[0].clone(), removed(4_000, 17, 8), removed(5_000, 100, 50)]);
    assert_eq!(
        rows(&live.read(&more))[1],
        "1795160000000 anthropic/claude-sonnet-5 100+50 r8000 w600"
    );
    assert_eq!(rows(&live.read(&more)).len(), 1);
}

#[test]
fn figures_as_they_come() {
    for (what, text, wanted) in [
        ("nothing", "{}", None),
        ("zeros", r#"{"tokensIn":0,"tokensOut":0,"cost":0}"#, None),
        ("a cost alone", r#"{"cost":0.01}"#, Some("0+0 r0 w0")),
        ("nulls", r#"{"tokensIn":null,"tokensOut":3}"#, Some("0+3 r0 w0")),
        (
            "cache outside",
            r#"{"tokensIn":150,"cacheReads":4000}"#,
            Some("150+0 r4000 w0"),
        ),
        (
            "Cline never counts it in",
            r#"{"tokensIn":5000,"cacheReads":4000}"#,
            Some("5000+0 r4000 w0"),
        ),
        (
            "OpenAI's rules",
            r#"{"apiProtocol":"openai","tokensIn":5000,"cacheReads":4000}"#,
            Some("1000+0 r4000 w0"),
        ),
        (
            "Anthropic's, later",
            r#"{"apiProtocol":"anthropic","tokensIn":4400,"cacheReads":4000,"cacheWrites":300}"#,
            Some("100+0 r4000 w300"),
        ),
        (
            "Anthropic's, earlier",
            r#"{"apiProtocol":"anthropic","tokensIn":4,"cacheReads":4000}"#,
            Some("4+0 r4000 w0"),
        ),
        ("not JSON yet", "", None),
    ] {
        let found = document(
            task::read,
            TASK_PATH,
            &list(&[say(1_000, "api_req_started", text)]),
        );
        let wanted: Vec<String> = wanted
            .iter()
            .map(|row| format!("1795160000000 unknown {row}"))
            .collect();
        assert_eq!((rows(&found), found.failures), (wanted, 0), "{what}");
    }
    let subagents = say(
        1_000,
        "subagent_usage",
        r#"{"source":"subagents","tokensIn":7,"tokensOut":1}"#,
    );
    let found = document(task::read, TASK_PATH, &list(&[subagents]));
    assert_eq!(
        &*found.observations[0].place.as_ref().unwrap().subagent,
        "subagents"
    );
    assert_eq!(
        found.observations[0].kind,
        tokmon_core::observation::CallKind::Several
    );
}

#[test]
fn what_cline_makes_of_providers_figures() {
    let usage = r#"{"tokensIn":5000,"tokensOut":9,"cacheReads":4000,"cacheWrites":300}"#;
    for (provider, wanted) in [
        ("anthropic", "5000+9 r4000 w300"),
        ("openrouter", "5000+9 r4000 w300"),
        ("", "5000+9 r4000 w300"),
        ("litellm", "700+9 r4000 w300"),
        ("openai", "1000+9 r4000 w0"),
        ("deepseek", "5300+9 r4000 w0"),
    ] {
        let own = say(1_000, "api_req_started", usage).replace(
            r#""type""#,
            &format!(r#""modelInfo":{{"providerId":"{provider}","modelId":"m1"}},"type""#),
        );
        let found = document(task::read, TASK_PATH, &list(&[own]));
        assert_eq!(rows(&found), [format!("1795160000000 m1 {wanted}")], "{provider}");
    }
    // In versions that do not say it with each message.
    let mut tasks = Documents::new(task::read, TASK_PATH);
    tasks.origin.beside = Beside(|path, _| {
        path.ends_with("task_metadata.json").then(|| {
            br#"{"files_in_context":[{"path":"a"}],"model_usage":[{"ts":900,"model_id":"m1","model_provider_id":"anthropic"},{"ts":90000,"model_id":"m2","model_provider_id":"openai"},{"#.to_vec()
        })
    });
    let text = list(&[
        say(1_000, "api_req_started", usage),
        say(90_100, "api_req_started", usage),
        say(90_200, "deleted_api_reqs", usage),
    ]);
    let found = tasks.read(&text);
    assert_eq!(
        rows(&found),
        [
            "1795160000000 m1 5000+9 r4000 w300",
            "1795160000000 m2 1000+9 r4000 w0",
            "1795160000000 m2 1000+9 r4000 w0"
        ]
    );
    assert_eq!(&*found.observations[1].provider, "openai");
}

#[test]
fn condensing_counts_with_its_cost() {
    let condensed = |cost: &str| {
        format!(
            r#"{{"ts":2000,"type":"say","say":"condense_context","contextCondense":{{"summary":"s","cost":{cost},"newContextTokens":900,"prevContextTokens":90000}}}}"#
        )
    };
    let found = document(
        task::read,
        TASK_PATH,
        &list(&[request(1_000, 1, 1), condensed("0.25"), condensed("0")]),
    );
    assert_eq!(
        rows(&found),
        [
            "1795160000000 unknown 1+1 r4000 w300",
            "1795160000000 unknown 0+0 r0 w0"
        ]
    );
    let call = &found.observations[1];
    assert_eq!(call.reported_cost, tokmon_core::money::Pico::parse_usd("0.25"));
    assert!(call.is_surer_of_money());
    for unusable in ["-1", "null", r#""much""#] {
        let found = document(
            task::read,
            TASK_PATH,
            &list(&[condensed(unusable), request(1_000, 1, 1)]),
        );
        assert_eq!(
            rows(&found),
            ["1795160000000 unknown 1+1 r4000 w300"],
            "{unusable}"
        );
    }
}

#[test]
fn the_first_versions_told_of_the_end_of_a_request_in_a_message_of_its_own() {
    let text = list(&[
        say(1_000, "api_req_started", r#"{"request":"<task>x</task>"}"#),
        say(
            1_500,
            "api_req_finished",
            r#"{"tokensIn":150,"tokensOut":90,"cost":0.0041}"#,
        ),
    ]);
    assert_eq!(
        rows(&document(task::read, TASK_PATH, &text)),
        ["1795160000000 unknown 150+90 r0 w0"]
    );
}

#[test]
fn where_a_task_works_and_whose_part_it_is() {
    for (beside, name, project, part) in [
        (
            r##"[{"role":"user","content":"# Current Working Directory (/w/a (b)) Files\nNo files found."}]"##,
            "api_conversation_history.json",
            "/w/a (b)",
            "",
        ),
        (
            r##"[{"content":"# Current Workspace Directory (c:\\w\\a) Files\n"}]"##,
            "api_conversation_history.json",
            "c:\\w\\a",
            "",
        ),
        (
            r##"["# Current Working Directory ("##,
            "api_conversation_history.json",
            "",
            "",
        ),
        (
            r#"{"workspace":"/w/app","mode":"code"}"#,
            "history_item.json",
            "/w/app",
            "",
        ),
        (
            r#"{"workspace":"/w/app","parentTaskId":"t0","mode":"debug"}"#,
            "history_item.json",
            "/w/app",
            "debug",
        ),
        (
            r#"{"parentTaskId":"t0","workspace":null"#,
            "history_item.json",
            "",
            "subtask",
        ),
    ] {
        let mut tasks = Documents::new(task::read, TASK_PATH);
        BESIDE.with_borrow_mut(|known| *known = (name, beside));
        tasks.origin.beside = Beside(|path, _| {
            BESIDE.with_borrow(|(name, text)| path.ends_with(name).then(|| text.as_bytes().to_vec()))
        });
        let found = tasks.read(&list(&[request(1_000, 1, 1)]));
        let call = &found.observations[0];
        let told = call.place.as_ref().map_or("", |place| &*place.subagent);
        assert_eq!(
            (&*call.who.project, told, call.sidechain),
            (project, part, !part.is_empty())
        );
    }
}

thread_local! {
    /// What lies beside a task: its name and text.
    static BESIDE: std::cell::RefCell<(&'static str, &'static str)> = const { std::cell::RefCell::new(("", "")) };
}

#[test]
fn the_time_may_be_a_date_or_a_text() {
    let text = r#"{\"tokensIn\":7,\"tokensOut\":1}"#;
    let calls = |ts: &str| {
        let said = format!(r#"[{{"ts":{ts},"say":"api_req_started","text":"{text}"}}]"#);
        document(task::read, TASK_PATH, &said)
    };
    let wanted = calls("1795165320000");
    assert_eq!(wanted.observations[0].at_ms, 1_795_165_320_000);
    for same in [
        r#""1795165320000""#,
        r#""2026-11-20T09:02:00Z""#,
        "1795165320000.0",
    ] {
        assert_eq!(keys(&calls(same)), keys(&wanted), "{same}");
    }
    for bad in ["-5", "NaN", r#""soon""#, "1e30", "{}"] {
        assert_eq!(
            (calls(bad).observations.len(), calls(bad).failures),
            (0, 1),
            "{bad}"
        );
    }
}

#[test]
fn what_is_broken_costs_only_itself() {
    let bad = [
        say(1_000, "api_req_started", r#"{"tokensIn":-1}"#),
        say(1_000, "api_req_started", r#"{"tokensIn":"#),
        r#"{"say":"api_req_started","text":"{\"tokensIn\":1}"}"#.to_owned(),
    ];
    for bad in bad {
        let found = document(
            task::read,
            TASK_PATH,
            &list(&["null".into(), bad.clone(), request(2_000, 1, 1)]),
        );
        assert_eq!((rows(&found).len(), found.failures), (1, 1), "{bad}");
    }
    for whole in ["", "{}", "[{]", "[", "7"] {
        assert!(document(task::read, TASK_PATH, whole).failures > 0, "{whole}");
    }
}

#[test]
fn sessions_of_the_command_line() {
    let message = r#"{"id":"m1","ts":1795164520000,"role":"assistant","modelInfo":{"id":"claude-sonnet-5","provider":"anthropic"},"metrics":{"inputTokens":150,"outputTokens":90,"cacheReadTokens":4000,"cacheWriteTokens":300,"cost":0.0041}}"#;
    let session =
        |message: &str| format!(r#"{{"version":1,"messages":[{{"id":"m0","role":"user"}},{message}]}}"#);
    let mut sessions = Documents::new(session::read, "/d/sessions/s1/s1.messages.json");
    sessions.origin.beside = Beside(|path, _| {
        path.ends_with("s1/s1.json").then(|| {
            br#"{"cwd":"/w/app","parentSessionId":"s0","metadata":{"usage":{"inputTokens":999}}}"#.to_vec()
        })
    });
    let found = sessions.read(&session(message));
    assert_eq!(rows(&found), ["s1 claude-sonnet-5 150+90 r4000 w300"]);
    assert_eq!(&*found.observations[0].who.project, "/w/app");
    assert!(found.observations[0].sidechain);
    // A fork has it too.
    let fork = document(
        session::read,
        "/d/sessions/s2/s2.messages.json",
        &session(message),
    );
    assert_eq!(keys(&fork), keys(&found));
    let unknown = document(
        session::read,
        "/d/s3/s3.messages.json",
        &session(&message.replace("1795164520000", "null")),
    );
    assert_eq!((unknown.observations.len(), unknown.failures), (1, 0));
    let broken = document(
        session::read,
        "/d/s3/s3.messages.json",
        &session(&message.replace(":90,", ":-90,")),
    );
    assert_eq!((broken.observations.len(), broken.failures), (0, 1));
}

#[test]
fn a_task_that_became_a_session_tells_of_its_own_calls_itself() {
    let answer = |id: &str, provider: &str| {
        format!(
            r#"{{"id":"{id}","ts":1795164520000,"role":"assistant","modelInfo":{{"id":"m1","provider":"{provider}"}},"metrics":{{"inputTokens":10,"outputTokens":1}}}}"#
        )
    };
    let warning = r#"{"role":"user","content":"Warning: this is a legacy conversation, which means tool names may have changed. Use others."}"#;
    let text = format!(
        r#"{{"messages":[{},{warning},{},{}]}}"#,
        answer("a", "unknown"),
        answer("b", "anthropic"),
        answer("c", "unknown")
    );
    let found = document(session::read, "/d/sessions/s1/s1.messages.json", &text);
    assert_eq!(rows(&found), ["s1 m1 10+1 r0 w0", "s1 m1 10+1 r0 w0"]);
    assert_eq!(&*found.observations[0].provider, "anthropic");
}

#[test]
fn the_input_of_the_command_line_includes_the_cache_as_far_as_it_can() {
    for (input, wanted) in [(1421, 1037), (384, 0), (383, 383)] {
        let text = format!(
            r#"{{"messages":[{{"id":"m1","ts":1795164520000,"role":"assistant","modelInfo":{{"id":"m1","provider":"anthropic"}},"metrics":{{"inputTokens":{input},"outputTokens":68,"cacheReadTokens":311,"cacheWriteTokens":73}}}}]}}"#
        );
        let found = document(session::read, "/d/sessions/s1/s1.messages.json", &text);
        assert_eq!(rows(&found), [format!("s1 m1 {wanted}+68 r311 w73")]);
    }
}
