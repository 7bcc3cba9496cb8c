//! The write-ahead log: which pages have a newer content there than in the database's file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

/// Length of the log's header.
pub(super) const HEADER: usize = 32;
/// Length of a frame's header.
const FRAME: usize = 24;

/// The committed content of a log.
#[derive(Debug, Default)]
pub(super) struct Wal {
    /// The header as it stood; all zeros when there is no usable log.
    pub(super) header: [u8; HEADER],
    /// Where the newest committed content of a page begins.
    frames: HashMap<u32, u64>,
    /// Number of pages in the database after the last commit; 0: the log has none.
    pub(super) pages: u32,
    /// How many frames are committed.
    pub(super) committed: u32,
}

/// The log's running checksum.
struct Sum {
    big_endian: bool,
    a: u32,
    b: u32,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes: &[u8]| {
            let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
            if self.big_endian {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        };
        let (mut a, mut b) = (self.a, self.b);
        for pair in bytes.chunks_exact(8) {
            a = a.wrapping_add(word(&pair[..4])).wrapping_add(b);
            b = b.wrapping_add(word(&pair[4..])).wrapping_add(a);
        }
        (self.a, self.b) = (a, b);
    }

    fn is(&self, at: &[u8]) -> bool {
        at[..4] == self.a.to_be_bytes() && at[4..8] == self.b.to_be_bytes()
    }
}

fn be(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl Wal {
    /// Reads a log up to its last commit. What is not a log of this page size, or was cut off, ends it.
    pub(super) fn read(file: &mut File, page_size: usize) -> std::io::Result<Wal> {
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        let mut wal = Wal::default();
        let mut header = [0; HEADER];
        if !fill(&mut reader, &mut header)? {
            return Ok(wal);
        }
        let magic = be(&header);
        let mut sum = Sum {
            big_endian: magic & 1 == 1,
            a: 0,
            b: 0,
        };
        sum.add(&header[..24]);
        let known = magic & !1 == 0x377f_0682 && be(&header[4..]) == 3_007_000;
        if !known || be(&header[8..]) as usize != page_size || !sum.is(&header[24..]) {
            return Ok(wal);
        }
        wal.header = header;
        let mut frame = vec![0; FRAME + page_size];
        let mut open: Vec<(u32, u64)> = Vec::new();
        for number in 0u64.. {
            if !fill(&mut reader, &mut frame)? || frame[8..16] != header[16..24] {
                break;
            }
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME..]);
            let page = be(&frame);
            if page == 0 || !sum.is(&frame[16..]) {
                break;
            }
            let at = HEADER as u64 + number * (FRAME + page_size) as u64 + FRAME as u64;
            open.push((page, at));
            let pages = be(&frame[4..]);
            if pages != 0 {
                wal.pages = pages;
                wal.committed = u32::try_from(number + 1).unwrap_or(u32::MAX);
                wal.frames.extend(open.drain(..));
            }
        }
        Ok(wal)
    }

    /// Where a page's content begins in the log.
    pub(super) fn find(&self, page: u32) -> Option<u64> {
        self.frames.get(&page).copied()
    }
}

/// Fills the buffer; false when the end comes before.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
