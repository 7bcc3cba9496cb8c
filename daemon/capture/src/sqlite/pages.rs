//! The pages of a database: those of its file, and over them those of its log.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::wal::{HEADER, Wal};
use super::{Result, Trouble, unusable};
use crate::open::open_regular;
use crate::walk::{Stat, is_gone};

/// Bytes of pages that are kept while a snapshot is read: the upper levels of its trees.
const KEPT_BYTES: usize = 1024 * 1024;

/// See the module.
pub(super) struct Pages {
    path: PathBuf,
    file: File,
    log: Option<File>,
    wal: Wal,
    before: Witness,
    page_size: usize,
    /// What of each page belongs to its content.
    pub(super) usable: usize,
    /// How many there are.
    pub(super) count: u32,
    pub(super) encoding: Encoding,
    kept: HashMap<u32, Rc<[u8]>>,
    /// How many more pages are read that continue others. Each continues one row, which is read a few times.
    continued: u64,
}

/// How texts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16le,
    Utf16be,
}

/// What must not move while pages are read.
#[derive(Debug, PartialEq, Eq)]
struct Witness {
    file: Stat,
    /// The file's counter of changes, which every commit outside of a log raises.
    changes: [u8; 4],
    /// How far a checkpoint has brought the log into the file, and how far it is about to, when anybody has it open.
    checkpoint: Option<[u8; 8]>,
}

impl Witness {
    fn look(path: &Path, file: &mut File) -> Result<Witness> {
        // By name: a file that was replaced is another one.
        let stat = Stat::of(&metadata(path)?);
        if Stat::of(&file.metadata()?) != stat {
            return Err(Trouble::Busy);
        }
        let mut changes = [0; 4];
        file.seek(SeekFrom::Start(24))?;
        file.read_exact(&mut changes)?;
        let checkpoint = open_beside(path, "-shm")?.and_then(|mut shared| {
            // In the shared index, behind two copies of its header of 48 bytes.
            let mut info = [0; 36];
            shared.seek(SeekFrom::Start(96)).ok()?;
            shared.read_exact(&mut info).ok()?;
            let mut progress = [0; 8];
            progress[..4].copy_from_slice(&info[..4]);
            progress[4..].copy_from_slice(&info[32..]);
            Some(progress)
        });
        Ok(Witness {
            file: stat,
            changes,
            checkpoint,
        })
    }
}

/// Only regular files: opening a pipe would wait for somebody to write into it.
fn metadata(path: &Path) -> Result<Metadata> {
    let meta = std::fs::metadata(path)?;
    if meta.is_file() {
        Ok(meta)
    } else {
        unusable("it is not a file")
    }
}

/// A file next to the database; `None` when there is none.
fn open_beside(path: &Path, ending: &str) -> Result<Option<File>> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    let beside = Path::new(&beside);
    match metadata(beside) {
        Ok(_) => {}
        Err(Trouble::Io(std::io::ErrorKind::NotFound, _)) => return Ok(None),
        Err(trouble) => return Err(trouble),
    }
    match open_regular(beside) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a journal says that a write is going on, or was cut off: then the file itself is not to be believed.
fn journal_is_hot(path: &Path) -> Result<bool> {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let Some(mut journal) = open_beside(path, "-journal")? else {
        return Ok(false);
    };
    let mut start = [0; 8];
    match journal.read_exact(&mut start) {
        Ok(()) => Ok(start == MAGIC),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl Pages {
    pub(super) fn open(path: &Path) -> Result<Pages> {
        metadata(path)?;
        let mut file = open_regular(path)?;
        let mut header = [0; 100];
        match file.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return match file.metadata()?.len() {
                    0 => unusable("it is empty"),
                    length => unusable(format!("it is not an SQLite database: {length} bytes long")),
                };
            }
            Err(error) => return Err(error.into()),
        }
        if !header.starts_with(b"SQLite format 3\0") {
            return unusable("it is not an SQLite database, or it is encrypted");
        }
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => usize::from(size),
            size => return unusable(format!("it says that its pages have {size} bytes")),
        };
        let usable = page_size - usize::from(header[20]);
        if usable < 480 || header[19] > 2 || header[21..24] != [64, 32, 32] {
            return unusable("it is written in a version of the format that is not known");
        }
        let encoding = match header[59] {
            0 | 1 => Encoding::Utf8,
            2 => Encoding::Utf16le,
            3 => Encoding::Utf16be,
            other => return unusable(format!("its texts are written in an unknown way ({other})")),
        };
        let logged = header[19] == 2;
        if !logged && journal_is_hot(path)? {
            return Err(Trouble::Busy);
        }
        let before = Witness::look(path, &mut file)?;
        let mut log = if logged { open_beside(path, "-wal")? } else { None };
        let wal = match &mut log {
            Some(log) => Wal::read(log, page_size)?,
            None => Wal::default(),
        };
        let in_file = u32::try_from(before.file.size / page_size as u64).unwrap_or(u32::MAX);
        let count = if wal.pages == 0 { in_file } else { wal.pages };
        Ok(Pages {
            path: path.to_owned(),
            file,
            log,
            count,
            continued: u64::from(count) * 8 + 1_000,
            wal,
            before,
            page_size,
            usable,
            encoding,
            kept: HashMap::new(),
        })
    }

    /// See [`super::Snapshot::verify`].
    pub(super) fn verify(&self) -> Result<()> {
        let mut file = self.file.try_clone()?;
        let after = Witness::look(&self.path, &mut file)?;
        if after != self.before {
            return Err(Trouble::Busy);
        }
        if let Some(log) = &self.log {
            let mut log = log.try_clone()?;
            let mut header = [0; HEADER];
            log.seek(SeekFrom::Start(0))?;
            let whole = log.read_exact(&mut header).is_ok();
            // Begun anew, its frames are others. One that held nothing did not matter, but what it holds now may be
            // in the file.
            if self.wal.committed > 0 && (!whole || header != self.wal.header) {
                return Err(Trouble::Busy);
            }
        } else if journal_is_hot(&self.path)? {
            return Err(Trouble::Busy);
        }
        Ok(())
    }

    /// A page, counted from 1.
    pub(super) fn get(&mut self, number: u32) -> Result<Rc<[u8]>> {
        if let Some(page) = self.kept.get(&number) {
            return Ok(page.clone());
        }
        let page: Rc<[u8]> = self.read(number)?.into();
        if (self.kept.len() + 1) * self.page_size > KEPT_BYTES {
            self.kept.clear();
        }
        self.kept.insert(number, page.clone());
        Ok(page)
    }

    /// A page that continues a row.
    pub(super) fn continuation(&mut self, number: u32) -> Result<Vec<u8>> {
        self.continued = match self.continued.checked_sub(1) {
            Some(left) => left,
            None => return unusable("it is damaged: rows that share their pages"),
        };
        self.read(number)
    }

    fn read(&mut self, number: u32) -> Result<Vec<u8>> {
        if number == 0 || number > self.count {
            return unusable(format!("it is damaged: page {number} of {}", self.count));
        }
        let (file, at) = match (self.wal.find(number), &mut self.log) {
            (Some(at), Some(log)) => (log, at),
            _ => (&mut self.file, u64::from(number - 1) * self.page_size as u64),
        };
        let mut page = vec![0; self.page_size];
        file.seek(SeekFrom::Start(at))?;
        match file.read_exact(&mut page) {
            Ok(()) => Ok(page),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => unusable(format!(
                "it is cut off: page {number} of {} is missing",
                self.count
            )),
            Err(error) => Err(error.into()),
        }
    }
}
