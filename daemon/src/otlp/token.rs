//! The token of the telemetry door. A port on the loopback interface is open to every user of the machine, so who sends
//! must show that they can read a file that only we can read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Shortest token that is accepted from the file, in characters: one that nobody guesses.
const SHORTEST: usize = 16;
/// Longest one: a header has room for it.
const LONGEST: usize = 256;
/// Random bytes in a token that is made here.
const RANDOM_BYTES: usize = 24;

/// What senders must show.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    /// The token in that file, which is made when it does not exist.
    ///
    /// # Errors
    /// The file cannot be read or made, or does not hold a token.
    pub(super) fn load(path: &Path) -> io::Result<Token> {
        match File::open(path) {
            Ok(file) => Token::read(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Token::make(path),
            Err(e) => Err(e),
        }
    }

    fn read(file: File) -> io::Result<Token> {
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        let mut text = String::new();
        let most = u64::try_from(LONGEST + 2).unwrap_or(u64::MAX);
        file.take(most).read_to_string(&mut text)?;
        let token = text.trim();
        let plain = token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !plain || !(SHORTEST..=LONGEST).contains(&token.len()) {
            let allowed = format!(
                "it must hold {SHORTEST} to {LONGEST} letters, digits, - or _; remove it to get a new one"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, allowed));
        }
        Ok(Token(token.to_owned()))
    }

    fn make(path: &Path) -> io::Result<Token> {
        let mut random = [0; RANDOM_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        // Whole or not at all: agents are set up with what is read here.
        let new = path.with_extension("token.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        Ok(Token(token))
    }

    /// Whether this is it. Takes equally long for every guess of the same length.
    pub(super) fn is(&self, guess: &str) -> bool {
        let (own, guess) = (self.0.as_bytes(), guess.as_bytes());
        let differs = own.iter().zip(guess).fold(0, |sum, (a, b)| sum | (a ^ b));
        own.len() == guess.len() && differs == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("otlp.token");
        let made = Token::load(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(made.0.len(), 2 * RANDOM_BYTES);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let again = Token::load(&path).unwrap();
        assert!(
            again.is(&made.0)
                && !again.is(&made.0[1..])
                && !again.is("")
                && !again.is(&made.0.replace('a', "b").replace('0', "1"))
        );
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::remove_file(&path).unwrap();
        assert!(!Token::load(&path).unwrap().is(&made.0));
    }

    #[test]
    fn what_is_no_token_is_refused_and_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("otlp.token");
        for text in [
            "",
            "short",
            "with a space in the middle",
            &"x".repeat(1_000_000),
            "schlüsselschlüssel",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Token::load(&path).err().unwrap();
            assert!(error.to_string().contains("letters, digits"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
