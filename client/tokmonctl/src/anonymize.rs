//! Flags of exports that leave the machine.

use std::io::Read;
use std::path::PathBuf;

use tokmon_client::v1::Anonymize;

use crate::failure::{Failure, invalid, io_error};

/// Shortest and longest key, in bytes.
const SHORTEST: usize = 16;
const LONGEST: usize = 4_096;

/// Whether names are told.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Veiled {
    /// Names become keyed hashes, the same name the same hash; notes, reasons and files are left out
    #[arg(long)]
    anonymize: bool,
    /// File with the key of the hashes, 16 to 4096 bytes [default: one that the daemon keeps]
    #[arg(long, value_name = "FILE", requires = "anonymize")]
    key_file: Option<PathBuf>,
}

impl Veiled {
    /// For a request.
    pub(crate) fn wish(&self) -> Result<Option<Anonymize>, Failure> {
        if !self.anonymize {
            return Ok(None);
        }
        let Some(file) = &self.key_file else {
            return Ok(Some(Anonymize::default()));
        };
        let mut key = Vec::new();
        std::fs::File::open(file)
            .and_then(|open| open.take(LONGEST as u64 + 1).read_to_end(&mut key))
            .map_err(|e| io_error("read", file.display(), &e))?;
        if !(SHORTEST..=LONGEST).contains(&key.len()) {
            let text = format!(
                "{} is not a key: it must have {SHORTEST} to {LONGEST} bytes",
                file.display()
            );
            return Err(invalid(text).into());
        }
        Ok(Some(Anonymize { key }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let wish = || {
            let veiled = Veiled {
                anonymize: true,
                key_file: Some(file.clone()),
            };
            veiled.wish()
        };
        assert!(wish().is_err(), "there is none");
        for (length, fits) in [(0, false), (15, false), (16, true), (4_096, true), (4_097, false)] {
            std::fs::write(&file, vec![1; length]).unwrap();
            assert_eq!(wish().is_ok(), fits, "{length}");
        }
        assert_eq!(Veiled::default().wish().ok().flatten(), None);
    }
}
