//! Databases and documents of OpenCode's, and what is right to make of them.

use super::*;
use crate::agents::testing::{Database, WRITTEN_MS, document, keys, rows};

const SCHEMA: &str = "
    CREATE TABLE session(id text PRIMARY KEY, project_id text NOT NULL, parent_id text, directory text NOT NULL,
        title text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL);
    CREATE TABLE message(id text PRIMARY KEY, session_id text NOT NULL, time_created integer NOT NULL,
        time_updated integer NOT NULL, data text NOT NULL,
        CONSTRAINT fk FOREIGN KEY (session_id) REFERENCES session(id) ON DELETE CASCADE);
    CREATE TABLE part(id text PRIMARY KEY, message_id text, session_id text, data text);
    INSERT INTO session VALUES('ses_1', 'p', NULL, '/w/app', 't', 1, 1), ('ses_2', 'p', 'ses_1', '/w/app/sub', 't', 1, 1);
";

const MESSAGE: &str = r#"{"role":"assistant","agent":"explore","modelID":"claude-sonnet-5","providerID":"anthropic","path":{"cwd":"/w/app/src","root":"/w/app"},"time":{"created":1795165100000,"completed":1795165111000},"cost":0.0123,"tokens":{"input":120,"output":300,"reasoning":40,"cache":{"read":9000,"write":800}}}"#;
const ROW: &str = "claude-sonnet-5 120+340 r9000 w800 reasoning 40";

fn database() -> Database {
    Database::new(database::read, "opencode.db", SCHEMA)
}

fn insert(database: &Database, id: &str, session: &str, data: &str) {
    database
        .writer
        .execute(
            "INSERT INTO message VALUES(?1, ?2, 1, 1, ?3)",
            (id, session, data),
        )
        .unwrap();
}

#[test]
fn a_message_is_counted_once_it_is_done() {
    let mut database = database();
    let begun = MESSAGE.replace(",\"completed\":1795165111000", "");
    let empty = begun.replace("120", "0").replace("300", "0");
    insert(&database, "msg_0", "ses_1", &MESSAGE.replace("assistant", "user"));
    insert(&database, "msg_1", "ses_1", &empty);
    assert_eq!(rows(&database.read()), [""; 0]);
    // It grows while others are added behind it.
    database.run(&format!("UPDATE message SET data = '{begun}' WHERE id = 'msg_1'"));
    insert(
        &database,
        "msg_2",
        "ses_2",
        &MESSAGE.replace("5100000", "5100001"),
    );
    let found = database.read();
    assert_eq!(rows(&found), [format!("ses_2 {ROW}")]);
    let child = &found.observations[0];
    assert!(child.sidechain);
    assert_eq!(&*child.place.as_ref().unwrap().subagent, "explore");
    assert_eq!(
        (&*child.who.project, child.at_ms, child.source.offset),
        ("/w/app", 1_795_165_111_000, 3)
    );
    assert_eq!(child.reported_cost, tokmon_core::money::Pico::parse_usd("0.0123"));
    database.run(&format!(
        "UPDATE message SET data = '{MESSAGE}' WHERE id = 'msg_1'"
    ));
    let found = database.read();
    assert_eq!(rows(&found), [format!("ses_1 {ROW}")]);
    assert!(!found.observations[0].sidechain && found.observations[0].place.is_none());
    // Nothing is read twice, and when rows were numbered anew it is the same call.
    assert_eq!(rows(&database.read()), [""; 0]);
    database.run("DELETE FROM message WHERE id != 'msg_1'");
    insert(
        &database,
        "msg_4",
        "ses_2",
        &MESSAGE.replace("5100000", "5100004"),
    );
    let again = database.read();
    assert_eq!(rows(&again).len(), 2);
    assert!(keys(&again).contains(&keys(&found)[0]));
}

#[test]
fn forks_and_moved_documents_are_the_same_call() {
    let mut database = database();
    insert(&database, "msg_1", "ses_1", MESSAGE);
    insert(&database, "msg_9", "ses_fork", MESSAGE);
    let found = database.read();
    assert_eq!(keys(&found)[0], keys(&found)[1]);
    let text = MESSAGE.replacen('{', r#"{"id":"msg_1","sessionID":"ses_1","#, 1);
    let path = "/d/storage/message/ses_1/msg_1.json";
    let before = document(message::read, path, &text);
    assert_eq!(
        (rows(&before), keys(&before)[0]),
        (vec![format!("ses_1 {ROW}")], keys(&found)[0])
    );
    assert_eq!(
        rows(&document(message::read, path, MESSAGE)),
        [format!("ses_1 {ROW}")]
    );
    // What Kilo did in the same moment is its own.
    let (origin, mut counters) = (crate::agents::testing::origin(path), Default::default());
    let mut kilo = Notes::new("kilo-cli", &origin, WRITTEN_MS, Vec::new(), &mut counters);
    message::read(text.as_bytes(), &mut kilo).unwrap();
    assert_ne!(keys(&kilo.close().0)[0], keys(&found)[0]);
    // Two calls of one moment with other figures are two.
    insert(&database, "msg_3", "ses_1", &MESSAGE.replace(":300,", ":301,"));
    assert_ne!(keys(&database.read())[0], keys(&found)[0]);
}

#[test]
fn figures_as_they_come() {
    let begun = MESSAGE.replace(",\"completed\":1795165111000", "");
    let old = begun.replace("1795165100000", &(WRITTEN_MS - 7_200_000).to_string());
    let aborted = begun.replacen('{', r#"{"error":{"name":"MessageAbortedError"},"#, 1);
    for (what, text, wanted, failures) in [
        (
            "no tokens",
            r#"{"role":"assistant","time":{"completed":1795165111000}}"#.to_owned(),
            None,
            0,
        ),
        (
            "nothing but a cost",
            r#"{"role":"assistant","time":{"completed":1795165111000},"cost":0.5}"#.into(),
            Some("s unknown 0+0 r0 w0"),
            0,
        ),
        ("still running", begun.clone(), None, 0),
        (
            "never ended",
            old,
            Some("s claude-sonnet-5 120+340 r9000 w800 reasoning 40"),
            0,
        ),
        (
            "broken off",
            aborted,
            Some("s claude-sonnet-5 120+340 r9000 w800 reasoning 40"),
            0,
        ),
        (
            "nulls",
            MESSAGE.replace(":120,", ":null,").replace("0.0123", "null"),
            Some("s claude-sonnet-5 0+340 r9000 w800 reasoning 40"),
            0,
        ),
        (
            "spaces",
            MESSAGE.replace(':', ": "),
            Some("s claude-sonnet-5 120+340 r9000 w800 reasoning 40"),
            0,
        ),
        (
            "nested model",
            MESSAGE.replace(
                r#""modelID":"claude-sonnet-5","providerID":"anthropic""#,
                r#""model":{"providerID":"x","modelID":"m"}"#,
            ),
            Some("s m 120+340 r9000 w800 reasoning 40"),
            0,
        ),
        ("negative", MESSAGE.replace(":120,", ":-1,"), None, 1),
        ("no number", MESSAGE.replace(":120,", ":\"many\","), None, 1),
        ("too much", MESSAGE.replace(":120,", ":99999999999,"), None, 1),
        ("a list", "[]".into(), None, 1),
        ("cut off", MESSAGE[..200].into(), None, 1),
    ] {
        let mut database = database();
        insert(&database, "m", "s", &text);
        let found = database.read();
        assert_eq!(
            (rows(&found), found.failures),
            (wanted.into_iter().map(String::from).collect(), failures),
            "{what}"
        );
        // What cannot be used is told of as long as it is there.
        assert_eq!(database.read().failures, failures, "{what}");
    }
}

#[test]
fn another_schema_is_named() {
    for (sql, wanted) in [
        ("CREATE TABLE x(y)", "it has no table \"message\""),
        (
            "CREATE TABLE message(id TEXT PRIMARY KEY, session_id TEXT)",
            "table \"message\" has no column \"data\"",
        ),
    ] {
        let found = Database::new(database::read, "opencode.db", sql).read();
        assert_eq!(found.shown, [(0, wanted.to_owned())]);
    }
    // Without sessions messages count all the same.
    let mut database = database();
    database.run("DROP TABLE session");
    insert(&database, "m", "s", MESSAGE);
    assert_eq!(rows(&database.read()), [format!("s {ROW}")]);
}

#[test]
fn many_messages_come_in_parts() {
    let mut database = database();
    database.run(&format!(
        "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 12000)
         INSERT INTO message SELECT 'm' || n, 's', 1, 1, replace('{MESSAGE}', '5100000', 5100000 + n) FROM c"
    ));
    let found = database.read();
    let mut keys = keys(&found);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 12_001);
}
