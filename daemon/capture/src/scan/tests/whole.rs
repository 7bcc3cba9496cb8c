//! Documents that are rewritten and running totals, scanned step by step.

use super::*;

fn message(id: u64, output: u64) -> String {
    format!(
        r#"{{"messageId":{id},"role":"assistant","usage":{{"model":"m{id}","timestamp":"2026-11-20T09:02:{id:02}Z","outputTokens":{output}}}}}"#
    )
}

fn thread(messages: &[String]) -> String {
    format!(r#"{{"id":"T-1","messages":[{}]}}"#, messages.join(","))
}

fn total(output: u64) -> String {
    format!(r#"{{"model":"m","tokenUsage":{{"outputTokens":{output}}}}}"#)
}

impl Bench {
    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

const AMP: usize = 2;
const DROID: usize = 3;

#[test]
fn a_rewritten_document_tells_only_what_is_new() {
    let mut bench = Bench::new();
    bench.write("amp/T-1.json", &thread(&[message(1, 5)]));
    assert_eq!(bench.scan(), [call("m1", 5)]);
    assert_eq!(bench.scan(), []);
    bench.write("amp/T-1.json", &thread(&[message(1, 5), message(2, 6)]));
    assert_eq!(bench.scan(), [call("m2", 6)]);
    // A call that is known better now.
    bench.restart();
    bench.write("amp/T-1.json", &thread(&[message(1, 5), message(2, 70)]));
    assert_eq!(bench.scan(), [call("m2", 70)]);
    assert_eq!(bench.status(AMP).records, 2);
    // Caught half written, then whole again: nothing is lost, and the failure is over.
    bench.write("amp/T-1.json", r#"{"id":"T-1","messages":["#);
    assert_eq!(bench.scan(), []);
    assert_eq!(
        (bench.status(AMP).parse_failures, bench.status(AMP).records),
        (1, 2)
    );
    bench.write("amp/T-1.json", &thread(&[message(1, 5), message(3, 8)]));
    assert_eq!(bench.scan(), [call("m3", 8)]);
    assert_eq!(
        (bench.status(AMP).parse_failures, bench.status(AMP).records),
        (0, 3)
    );
}

#[test]
fn empty_huge_and_foreign_documents_do_no_harm() {
    let mut bench = Bench::new();
    bench.write("amp/T-1.json", "");
    bench.write("amp/settings.json", "{");
    bench.write("amp/deep/T-2.json", "{");
    let huge = bench.path("amp/T-3.json");
    let file = fs::File::create(huge).unwrap();
    file.set_len(tokmon_core::limits::MAX_DOCUMENT_BYTES + 1).unwrap();
    assert_eq!(bench.scan(), []);
    let status = bench.status(AMP);
    assert_eq!(
        (status.files, status.files_done, status.parse_failures),
        (2, 2, 1)
    );
    assert!(status.failures[0].path.ends_with("T-3.json"), "{status:?}");
    assert_eq!(bench.scan(), []);
}

#[test]
fn running_totals_become_differences_across_copies_moves_and_restarts() {
    let mut bench = Bench::new();
    bench.write("droid/p/s.settings.json", &total(100));
    assert_eq!(bench.scan(), [call("m", 100)]);
    bench.write("droid/p/s.settings.json", &total(130));
    assert_eq!(bench.scan(), [call("m", 30)]);
    // A copy, a move, a restart, and the copy goes on.
    bench.write("droid/backup/s.settings.json", &total(130));
    fs::rename(bench.path("droid/p"), bench.path("droid/q")).unwrap();
    bench.restart();
    assert_eq!(bench.scan(), []);
    bench.write("droid/backup/s.settings.json", &total(131));
    assert_eq!(bench.scan(), [call("m", 1)]);
    // It was away and comes back.
    fs::remove_dir_all(bench.path("droid/q")).unwrap();
    fs::remove_dir_all(bench.path("droid/backup")).unwrap();
    assert_eq!(bench.scan(), []);
    bench.restart();
    bench.write("droid/p/s.settings.json", &total(131));
    assert_eq!(bench.scan(), []);
    // What the ledger did not take is a difference still.
    bench.memory.0.lock().unwrap().failing = true;
    bench.write("droid/p/s.settings.json", &total(140));
    assert!(bench.scanner.scan().is_err());
    bench.memory.0.lock().unwrap().failing = false;
    bench.scanner.reload().unwrap();
    assert_eq!(bench.scan(), [call("m", 9)]);
    assert_eq!(bench.status(DROID).parse_failures, 0);
}
