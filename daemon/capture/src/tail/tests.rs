//! Whatever the blocks, the lines and the places to go on from are the same.

use std::fs::{self, OpenOptions};
use std::io::Write;

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::{BLOCK, Lines, Mark, Tail};

#[derive(Default)]
struct Heard {
    lines: Vec<(u64, usize)>,
    text: Vec<u8>,
    too_long: Vec<u64>,
    restarts: u32,
    mark: Mark,
    /// Stop after so many blocks.
    patience: Option<u32>,
}

impl Lines for Heard {
    fn restart(&mut self) {
        self.restarts += 1;
        self.mark = Mark::default();
    }

    fn lines(&mut self, block: &[u8], offset: u64) {
        let mut at = offset;
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            self.lines.push((at, line.len()));
            at += line.len() as u64;
        }
        self.text.extend_from_slice(block);
    }

    fn too_long(&mut self, offset: u64) {
        self.too_long.push(offset);
    }

    fn reached(&mut self, mark: Mark) -> bool {
        self.mark = mark;
        self.patience = self.patience.map(|patience| patience - 1);
        self.patience != Some(0)
    }
}

fn read(file: &NamedTempFile, from: Mark) -> Heard {
    let mut heard = Heard {
        mark: from,
        ..Heard::default()
    };
    Tail::default().read(file.path(), from, &mut heard).unwrap();
    heard
}

fn file(text: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn lines_across_blocks_are_whole() {
    let long = "x".repeat(3 * BLOCK + 17);
    let text = format!("short\n{long}\n\n{long}\nend");
    let heard = read(&file(text.as_bytes()), Mark::default());
    let n = long.len() as u64;
    assert_eq!(
        heard.lines,
        [(0, 6), (6, n as usize + 1), (n + 7, 1), (n + 8, n as usize + 1)]
    );
    assert_eq!(heard.mark.offset, 2 * n + 9);
    assert_eq!(&*heard.text, &text.as_bytes()[..text.len() - 3]);
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_the_rest_is_read() {
    let text = format!("one\n{}\ntwo\n{}", "y".repeat(500), "z".repeat(300));
    let file = file(text.as_bytes());
    let mut tail = Tail {
        longest: 64,
        ..Tail::default()
    };
    let mut heard = Heard::default();
    tail.read(file.path(), Mark::default(), &mut heard).unwrap();
    assert_eq!(
        (heard.lines, heard.too_long),
        (vec![(0, 4), (505, 4)], vec![4, 509])
    );
    // What was passed over is not read again; what comes behind it is.
    assert!(heard.mark.offset > 509 && heard.mark.offset <= text.len() as u64);
    let later = read(&file, heard.mark);
    assert_eq!((later.restarts, later.lines), (0, vec![]));
}

#[test]
fn only_a_whole_object_needs_no_end() {
    for (text, offset) in [
        ("{}\n{\"a\":1}", 10),
        ("{}\n{\"a\":{}", 3),
        ("{}\n[1]", 3),
        ("{}\n{\"a\":\"}", 3),
        ("{}", 2),
        ("", 0),
    ] {
        assert_eq!(
            read(&file(text.as_bytes()), Mark::default()).mark.offset,
            offset,
            "{text}"
        );
    }
}

#[test]
fn a_changed_tail_means_another_file() {
    let long = "first line\n".repeat(100);
    let same = file(long.as_bytes());
    let mark = read(&same, Mark::default()).mark;
    assert_eq!((mark.offset, read(&same, mark).restarts), (1_100, 0));
    for other in [
        long.replace("first", "other") + "more\n",
        long[..1_000].to_string(),
        String::new(),
        long[..1_099].to_string() + "x",
    ] {
        let heard = read(&file(other.as_bytes()), mark);
        assert_eq!(heard.restarts, 1);
        assert_eq!(heard.text.len(), other.rfind('\n').map_or(0, |at| at + 1));
    }
}

#[test]
fn a_reader_that_has_enough_can_go_on_later() {
    let text = "a line of some length\n".repeat(3 * BLOCK / 20);
    let file = file(text.as_bytes());
    let mut first = Heard {
        patience: Some(1),
        ..Heard::default()
    };
    Tail::default()
        .read(file.path(), Mark::default(), &mut first)
        .unwrap();
    assert!(first.mark.offset > 0 && first.text.len() < text.len());
    let second = read(&file, first.mark);
    assert_eq!(second.restarts, 0);
    assert_eq!([first.text, second.text].concat(), text.as_bytes());
}

proptest! {
    #[test]
    fn appends_are_read_once_and_in_order(pieces in prop::collection::vec("[a-z\n{}\"]{0,400}", 1..8)) {
        let file = file(b"");
        let (mut mark, mut text) = (Mark::default(), Vec::new());
        for piece in &pieces {
            OpenOptions::new().append(true).open(file.path()).unwrap().write_all(piece.as_bytes()).unwrap();
            let heard = read(&file, mark);
            prop_assert!(heard.restarts == u32::from(mark.offset == 0));
            text.extend(heard.text);
            mark = heard.mark;
        }
        let whole = pieces.concat();
        prop_assert_eq!(&text[..], &whole.as_bytes()[..mark.offset as usize]);
        prop_assert!(!whole[mark.offset as usize..].contains('\n'));
    }
}

/// Changes the file while it is read.
struct Meddler<'a> {
    heard: Heard,
    file: &'a NamedTempFile,
    change: fn(&NamedTempFile),
}

impl Lines for Meddler<'_> {
    fn restart(&mut self) {
        self.heard.restart();
    }

    fn lines(&mut self, block: &[u8], offset: u64) {
        self.heard.lines(block, offset);
    }

    fn too_long(&mut self, offset: u64) {
        self.heard.too_long(offset);
    }

    fn reached(&mut self, mark: Mark) -> bool {
        if self.heard.mark == Mark::default() {
            (self.change)(self.file);
        }
        self.heard.reached(mark)
    }
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read_is_read_right_the_next_time() {
    let first: Vec<u8> = (0..BLOCK / 4)
        .flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes())
        .collect();
    let append = |file: &NamedTempFile| {
        let mut file = OpenOptions::new().append(true).open(file.path()).unwrap();
        file.write_all(b"{\"more\":1}\n{\"half\":").unwrap();
    };
    let shrink = |file: &NamedTempFile| {
        let file = OpenOptions::new().write(true).open(file.path()).unwrap();
        file.set_len(20).unwrap();
    };
    let rewrite = |file: &NamedTempFile| fs::write(file.path(), "{\"other\":1}\n").unwrap();
    let empty = |file: &NamedTempFile| fs::write(file.path(), "").unwrap();
    for change in [append as fn(&NamedTempFile), shrink, rewrite, empty] {
        let file = file(&first);
        let mut meddler = Meddler {
            heard: Heard::default(),
            file: &file,
            change,
        };
        // Whatever is met there is no fault of ours.
        drop(Tail::default().read(file.path(), Mark::default(), &mut meddler));
        let now = fs::read(file.path()).unwrap();
        let again = read(&file, meddler.heard.mark);
        let whole = now.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if again.restarts > 0 {
            assert_eq!(again.text, now[..whole]);
        } else {
            assert_eq!([meddler.heard.text, again.text].concat(), now[..whole]);
        }
        assert_eq!(read(&file, again.mark).text, b"");
    }
}
