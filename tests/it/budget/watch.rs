//! `tokmonctl watch --alerts`: each alert is one line, once, after the entry that was named.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;
use tokmon_tests::binaries;
use tokmon_tests::env::Env;

use super::NOON;

/// A watcher whose lines are read as they come.
struct Watch {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watch {
    fn start(env: &Env, after: &str) -> Watch {
        let mut command = env.command(binaries::tokmonctl());
        command.args(["watch", "--alerts", "--json", "--after", after]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("tokmonctl starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Watch { child, lines }
    }

    /// The next line, however long it takes.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It never ends by itself; one that has ended is no trouble.
        let _ended = self.child.kill();
        let _code = self.child.wait();
    }
}

#[test]
fn each_alert_is_one_line_once_and_after_its_cursor() {
    // A7
    let env = Env::with_clock(NOON);
    let daemon = env.start_daemon();
    let set = ["budget", "set", "b", "--tokens", "100", "--window", "lifetime"];
    env.ctl(&set).success();
    let spend = |tokens: &str| {
        env.ctl(&["record", "--model", "m", "--input", tokens]).success();
    };
    let mut watch = Watch::start(&env, "0");
    spend("85");
    let first = watch.next();
    assert_eq!(
        (&first["budget"], &first["threshold"], &first["percent"]),
        (&"b".into(), &80.into(), &85.into())
    );
    spend("1");
    spend("10");
    assert_eq!(
        watch.next()["threshold"],
        95,
        "nothing between for the call that crossed none"
    );
    spend("50");
    assert_eq!(watch.next()["threshold"], 100);

    // Another watcher begins where it was told to.
    let mut later = Watch::start(&env, &first["seq"].to_string());
    assert_eq!(later.next()["threshold"], 95);
    assert_eq!(later.next()["threshold"], 100);
    drop((watch, later));
    daemon.stop();
}
