//! How results look: tables for people, JSON and CSV for programs. Everything that is printed passes here.

pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod report;
pub(crate) mod table;

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

/// The narrowest terminal that tables are fitted to.
const NARROWEST: u16 = 20;
/// Characters of a name within a sentence.
const LONGEST_NAME: usize = 80;

/// What is known of the place where the output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Columns of the terminal; `None` when nothing limits a line.
    pub(crate) width: Option<u16>,
    /// Colours are welcome.
    pub(crate) colour: bool,
}

impl Screen {
    /// Of standard output. `COLUMNS` overrides the width, `NO_COLOR` forbids colours.
    pub(crate) fn of_stdout() -> Screen {
        Screen::of(io::stdout().is_terminal())
    }

    /// Of standard error, where errors are told.
    pub(crate) fn of_stderr() -> Screen {
        Screen::of(io::stderr().is_terminal())
    }

    fn of(terminal: bool) -> Screen {
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let columns = set("COLUMNS").and_then(|v| v.parse().ok());
        let measured = || terminal.then(|| comfy_table::Table::new().width()).flatten();
        // Less than that is a terminal that does not know its width.
        let usable = |w: &u16| *w >= NARROWEST;
        let dumb = set("TERM").is_some_and(|t| t == "dumb");
        Screen {
            width: columns.filter(usable).or_else(|| measured().filter(usable)),
            colour: terminal && !dumb && set("NO_COLOR").is_none(),
        }
    }

    /// The text with its long lines broken between words; what follows a break is indented by `hang` blanks. A
    /// word that is longer than the screen stays whole, so that a path can be copied.
    pub(crate) fn fold(&self, text: &str, hang: usize) -> String {
        let Some(width) = self.width.map(usize::from) else {
            return text.to_owned();
        };
        let fold = |line: &str| fold(line, width, hang.min(width / 2));
        text.split('\n').map(fold).collect::<Vec<_>>().join("\n")
    }

    /// The text in bold when colours are welcome.
    pub(crate) fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// The text in the colour of warnings.
    pub(crate) fn warning(&self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// One line, broken.
fn fold(line: &str, width: usize, hang: usize) -> String {
    let start = line.len() - line.trim_start_matches(' ').len();
    let (mut out, mut used) = (line[..start].to_owned(), start);
    let (mut blanks, mut fresh) = (0, true);
    // Two blanks in a row make an empty word between them, so that labels stay aligned.
    for (place, word) in line[start..].split(' ').enumerate() {
        let length = visible(word);
        if place > 0 {
            blanks += 1;
        }
        if length == 0 {
            continue;
        }
        if used + blanks + length > width && !fresh {
            out.push('\n');
            out.push_str(&" ".repeat(hang));
            used = hang;
        } else {
            out.push_str(&" ".repeat(blanks));
            used += blanks;
        }
        out.push_str(word);
        used += length;
        (blanks, fresh) = (0, false);
    }
    out
}

/// Characters that take room: colours do not.
fn visible(word: &str) -> usize {
    let mut inside = false;
    let takes_room = |c: &char| {
        let was = inside || *c == '\u{1b}';
        inside = was && *c != 'm';
        !was
    };
    word.chars().filter(takes_room).count()
}

/// Prints to standard output. A reader who went away is a quiet end, not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        Err(e) => Err(Failure::io("write", "standard output", &e)),
    }
}

/// Prints a note for the person at the terminal; it is no part of the result.
pub(crate) fn note(text: &str) {
    // Nobody is left to be told when standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The text without control characters: names come from outside and must not steer the terminal.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(
            text.chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect(),
        )
    } else {
        Cow::Borrowed(text)
    }
}

/// The first `most` names for a sentence, each cut where it is longer than any real one, and how many more there are.
pub(crate) fn named(names: &[String], most: usize) -> String {
    let cut = |name: &String| match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", clean(&name[..end])),
        None => clean(name).into_owned(),
    };
    let shown = names.iter().take(most).map(cut).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_sentence_are_few_and_short() {
        let names = [
            "a\u{7}b".to_owned(),
            "é".repeat(81),
            "c".to_owned(),
            "d".to_owned(),
        ];
        assert_eq!(named(&names[..1], 3), "a\u{fffd}b");
        assert_eq!(
            named(&names, 2),
            format!("a\u{fffd}b, {}… and 2 more", "é".repeat(80))
        );
        assert_eq!(named(&["é".repeat(80)], 3), "é".repeat(80));
        assert_eq!(named(&[], 3), "");
    }

    #[test]
    fn control_characters_are_shown_as_such() {
        assert_eq!(clean("plain – ü"), "plain – ü");
        assert_eq!(clean("a\u{1b}[2Jb\r"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn long_lines_break_between_words_and_hang() {
        let screen = |width| Screen { width, colour: true };
        let text = "  seen   one two three four\nnext";
        assert_eq!(
            screen(Some(20)).fold(text, 9),
            "  seen   one two\n         three four\nnext"
        );
        assert_eq!(screen(None).fold(text, 9), text);
        let path = "at /a/very/long/path/that/stays/whole now";
        assert_eq!(
            screen(Some(20)).fold(path, 2),
            "at\n  /a/very/long/path/that/stays/whole\n  now"
        );
        let bold = screen(Some(20)).bold("exactly ten");
        assert_eq!(
            screen(Some(20)).fold(&format!("{bold} and more"), 0),
            format!("{bold} and more")
        );
    }

    #[test]
    fn nothing_is_painted_without_colour() {
        let plain = Screen {
            width: None,
            colour: false,
        };
        assert_eq!(plain.bold("x"), "x");
        let colour = Screen {
            width: None,
            colour: true,
        };
        assert_eq!(colour.bold("x"), "\u{1b}[1mx\u{1b}[0m");
    }
}
