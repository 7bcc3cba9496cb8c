//! A file that is only read: what the database wants to write stays in memory.
//!
//! Opening a file that was not closed makes redb repair it, and checking its trees may repair them. A backup
//! that is being verified and a damaged file that is being salvaged must keep every byte.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const PAGE: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Overlay {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    file_len: u64,
    len: u64,
    /// Pages that were written, by number.
    pages: HashMap<u64, Box<[u8; PAGE]>>,
}

impl Overlay {
    /// Opens a file for reading.
    pub(super) fn open(path: &Path) -> Result<Overlay, Error> {
        let file = File::open(path)?;
        let file_len = file.metadata()?.len();
        Ok(Overlay {
            inner: Mutex::new(Inner {
                file,
                file_len,
                len: file_len,
                pages: HashMap::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Reads from the file; beyond its end there are zeros.
    fn read_file(&mut self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let there = self.file_len.saturating_sub(offset).min(out.len() as u64);
        let (found, beyond) = out.split_at_mut(usize::try_from(there).map_err(|_| ErrorKind::InvalidInput)?);
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(found)?;
        beyond.fill(0);
        Ok(())
    }

    fn page(&mut self, number: u64) -> Result<&mut [u8; PAGE], Error> {
        if !self.pages.contains_key(&number) {
            let mut page = Box::new([0; PAGE]);
            self.read_file(number * PAGE as u64, &mut page[..])?;
            self.pages.insert(number, page);
        }
        self.pages
            .get_mut(&number)
            .map(|page| &mut **page)
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// The pieces of a range, page by page: page number, offset in the page, offset in the range, length.
    fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = offset + done as u64;
            let within = (at % PAGE as u64) as usize;
            let piece = (PAGE - within).min(len - done);
            let start = done;
            done += piece;
            (piece > 0).then_some((at / PAGE as u64, within, start, piece))
        })
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let mut inner = self.lock();
        let end = offset
            .checked_add(out.len() as u64)
            .ok_or(ErrorKind::InvalidInput)?;
        if end > inner.len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        inner.read_file(offset, out)?;
        for (number, within, start, piece) in Inner::pieces(offset, out.len()) {
            if let Some(page) = inner.pages.get(&number) {
                out[start..start + piece].copy_from_slice(&page[within..within + piece]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut inner = self.lock();
        // What was cut off does not come back when the length grows again.
        if len < inner.len {
            inner.file_len = inner.file_len.min(len);
            inner.pages.retain(|number, _| number * (PAGE as u64) < len);
            let rest = (len % PAGE as u64) as usize;
            if let Some(page) = inner.pages.get_mut(&(len / PAGE as u64)) {
                page[rest..].fill(0);
            }
        }
        inner.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut inner = self.lock();
        for (number, within, start, piece) in Inner::pieces(offset, data.len()) {
            inner.page(number)?[within..within + piece].copy_from_slice(&data[start..start + piece]);
        }
        let end = offset.saturating_add(data.len() as u64);
        inner.len = inner.len.max(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Op {
        Write(usize, Vec<u8>),
        Length(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..12_000_usize, proptest::collection::vec(any::<u8>(), 0..9000))
                .prop_map(|(at, data)| Op::Write(at, data)),
            (0..20_000_usize).prop_map(Op::Length),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_reads_what_was_written_and_the_file_stays(ops in proptest::collection::vec(op(), 1..12)) {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("file");
            let before: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
            std::fs::write(&path, &before).expect("written");
            let overlay = Overlay::open(&path).expect("opened");
            let mut model = before.clone();
            for op in ops {
                match op {
                    Op::Write(at, data) => {
                        if model.len() < at + data.len() {
                            model.resize(at + data.len(), 0);
                        }
                        model[at..at + data.len()].copy_from_slice(&data);
                        overlay.write(at as u64, &data).expect("written");
                    }
                    Op::Length(len) => {
                        model.resize(len, 0);
                        overlay.set_len(len as u64).expect("set");
                    }
                }
                prop_assert_eq!(overlay.len().expect("a length"), model.len() as u64);
                let mut found = vec![1; model.len()];
                overlay.read(0, &mut found).expect("read");
                prop_assert!(found == model);
            }
            prop_assert!(overlay.read(model.len() as u64, &mut [0]).is_err());
            prop_assert!(std::fs::read(&path).expect("the file") == before);
        }
    }
}
