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
        let terminal = io::stdout().is_terminal();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_such() {
        assert_eq!(clean("plain – ü"), "plain – ü");
        assert_eq!(clean("a\u{1b}[2Jb\r"), "a\u{fffd}[2Jb\u{fffd}");
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
