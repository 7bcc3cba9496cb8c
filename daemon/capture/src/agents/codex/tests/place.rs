//! Where a call was made, and the provider's name for it.

use super::*;

fn record(ms: i64, response: &str) -> String {
    at(
        ms,
        "token_usage_record",
        &format!(
            r#"{{"thread_id":"t1","turn_id":"x","response_id":"{response}","usage":{}}}"#,
            usage(1_000, 200, 100)
        ),
    )
}

#[test]
fn commit_branch_role_server_and_response_are_taken_along() {
    let git = r#","git":{"commit_hash":"0123abcd","branch":"topic","repository_url":"x"}"#;
    let tool = at(
        1_500,
        "response_item",
        r#"{"type":"function_call","name":"mcp__docs__search","arguments":"{}"}"#,
    );
    for (source, role) in [
        ("", ""),
        (r#","source":"cli""#, ""),
        (r#","source":{"subagent":"review"}"#, "review"),
        (
            r#","source":{"subagent":{"thread_spawn":{"parent_thread_id":"p","agent_role":"explorer"}}}"#,
            "explorer",
        ),
    ] {
        let text = [
            meta(0, "t1", &format!("{git}{source}")),
            turn(5_000, ""),
            tool.replace("09:00:01.500", "09:00:06.500"),
            record(9_000, "resp_1"),
        ]
        .concat();
        let calls = read(&text);
        let call = calls.last().unwrap_or_else(|| panic!("{source}"));
        let place = call.place.as_ref().unwrap();
        assert_eq!(
            [
                &*place.branch,
                &*place.commit,
                &*place.subagent,
                &*place.mcp_server
            ],
            ["topic", "0123abcd", role, "docs"],
            "{source}"
        );
        assert_eq!(&*call.request_id, "resp_1");
    }
    let bare = read(&(meta(0, "t1", r#","git":null"#) + &record(9_000, "resp_1")));
    assert_eq!(bare[0].place, None);
}
