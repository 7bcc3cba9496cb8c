//! Reading a file that grows, from where it was left: whole lines only, in big blocks, with one reused buffer.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use tokmon_core::limits::MAX_LINE_BYTES;

use crate::agents::is_whole_line;
use crate::open::open_regular;
use crate::unpack::Unpacked;
use crate::walk::Stat;

/// Bytes that are read at once; the buffer grows only for longer lines.
const BLOCK: usize = 256 * 1024;
/// Most bytes that one compressed file may unpack to: a long thread's rollout, not a bomb.
const MAX_UNPACKED: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes before the offset that are remembered by their hash.
const TAIL: usize = 256;

/// Where a file was left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Everything before it has been read.
    pub(crate) offset: u64,
    /// Hash of the bytes just before it.
    pub(crate) tail_hash: u64,
}

/// What is found while reading.
pub(crate) trait Lines {
    /// Nothing of the file is known: it is new, or it is not what it was.
    fn restart(&mut self);
    /// Whole lines, the first of which begins at `offset`.
    fn lines(&mut self, block: &[u8], offset: u64);
    /// A line that is longer than can be read.
    fn too_long(&mut self, offset: u64);
    /// All before `mark` has been given. False: stop here.
    fn reached(&mut self, mark: Mark) -> bool;
}

/// A reader of one file after the other.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Longest line that is read, in bytes.
    longest: usize,
    buffer: Vec<u8>,
    /// The last bytes before the current offset, at most [`TAIL`].
    recent: Vec<u8>,
}

impl Default for Tail {
    fn default() -> Tail {
        Tail {
            longest: MAX_LINE_BYTES,
            buffer: Vec::new(),
            recent: Vec::new(),
        }
    }
}

impl Tail {
    /// Reads what is new behind `from`; returns the file as it was when it was opened. A line that is not
    /// finished stays for the next time.
    pub(crate) fn read(&mut self, path: &Path, from: Mark, to: &mut dyn Lines) -> io::Result<Stat> {
        let mut file = open_regular(path)?;
        let meta = file.metadata()?;
        let stat = Stat::of(&meta);
        let read = if is_packed(path) {
            self.unpack(file, stat, to)
        } else {
            self.follow(&mut file, from, stat, to)
        };
        // A line of hundreds of megabytes must not cost that much for ever.
        self.buffer.truncate(BLOCK);
        self.buffer.shrink_to(BLOCK);
        read.map(|()| stat)
    }

    fn follow(&mut self, file: &mut File, from: Mark, stat: Stat, to: &mut dyn Lines) -> io::Result<()> {
        let mut start = 0;
        self.recent.clear();
        if from.offset > 0 && from.offset <= stat.size {
            let length = from.offset.min(TAIL as u64);
            file.seek(SeekFrom::Start(from.offset - length))?;
            file.take(length).read_to_end(&mut self.recent)?;
            if hash(&self.recent) == from.tail_hash {
                start = from.offset;
            }
        }
        if start == 0 {
            self.recent.clear();
            to.restart();
        }
        file.seek(SeekFrom::Start(start))?;
        self.stream(file, start, to, false)
    }

    /// A compressed file is finished: it is read as a whole, and its mark is its packed size.
    fn unpack(&mut self, file: File, stat: Stat, to: &mut dyn Lines) -> io::Result<()> {
        to.restart();
        let mut limited = Unpacked::new(io::BufReader::new(file)).take(MAX_UNPACKED);
        self.stream(&mut limited, 0, to, true)?;
        if limited.limit() == 0 {
            let problem = format!("unpacks to more than {MAX_UNPACKED} bytes, the rest is not read");
            return Err(io::Error::other(problem));
        }
        to.reached(Mark {
            offset: stat.size,
            tail_hash: 0,
        });
        Ok(())
    }

    /// `packed`: offsets are those of the unpacked text and no place to go on from; the last line needs no end.
    fn stream(
        &mut self,
        file: &mut dyn Read,
        start: u64,
        to: &mut dyn Lines,
        packed: bool,
    ) -> io::Result<()> {
        let mut block_at = start;
        let mut filled = 0;
        // Inside a line that is too long, up to its end.
        let mut dropping = false;
        loop {
            if filled == self.buffer.len() {
                let wanted = (self.buffer.len() * 2).clamp(BLOCK.min(self.longest), self.longest);
                self.buffer.resize(wanted, 0);
            }
            let read = match file.read(&mut self.buffer[filled..]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let searched = filled;
            filled += read;
            if read == 0 {
                // The end of a line may be missing at the end of the file; half an object is never a whole one.
                let line = &self.buffer[..filled];
                if filled > 0 && !dropping && (packed || is_whole_line(line)) {
                    to.lines(line, block_at);
                    if !packed {
                        self.remember(filled);
                        to.reached(Mark {
                            offset: block_at + filled as u64,
                            tail_hash: hash(&self.recent),
                        });
                    }
                }
                return Ok(());
            }
            let Some(last) = memchr::memrchr(b'\n', &self.buffer[searched..filled]) else {
                if filled >= self.longest {
                    if !dropping {
                        to.too_long(block_at);
                    }
                    dropping = true;
                    self.remember(filled);
                    block_at += filled as u64;
                    filled = 0;
                    // It is not read twice while it is still being written; its rest counts as a broken line.
                    let mark = Mark {
                        offset: block_at,
                        tail_hash: hash(&self.recent),
                    };
                    if !packed && !to.reached(mark) {
                        return Ok(());
                    }
                }
                continue;
            };
            let end = searched + last + 1;
            let mut skipped = 0;
            if dropping && let Some(first) = memchr::memchr(b'\n', &self.buffer[..end]) {
                skipped = first + 1;
                dropping = false;
            }
            to.lines(&self.buffer[skipped..end], block_at + skipped as u64);
            self.remember(end);
            block_at += end as u64;
            if !packed
                && !to.reached(Mark {
                    offset: block_at,
                    tail_hash: hash(&self.recent),
                })
            {
                return Ok(());
            }
            self.buffer.copy_within(end..filled, 0);
            filled -= end;
        }
    }

    /// The first `end` bytes of the buffer are done with.
    fn remember(&mut self, end: usize) {
        self.recent
            .extend_from_slice(&self.buffer[end.saturating_sub(TAIL)..end]);
        let surplus = self.recent.len().saturating_sub(TAIL);
        self.recent.drain(..surplus);
    }
}

/// Whether a file is a finished, compressed one.
pub(crate) fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "zst")
}

fn hash(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    u64::from_le_bytes(first)
}
