//! A disk in memory: it records what is done to it, and it can be full.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// What was done to the disk.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Bytes were written at an offset; they are safe after the next sync.
    Write(u64, Vec<u8>),
    /// The length was set.
    Length(u64),
    /// Everything before is on the disk.
    Sync,
    /// The store had said that entries up to this one are durable.
    Acked(u64),
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    events: Option<Vec<Event>>,
    room: Option<u64>,
}

/// See the module. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// A disk with these bytes.
    pub(crate) fn with(bytes: Vec<u8>) -> Disk {
        let disk = Disk::default();
        disk.state().bytes = bytes;
        disk
    }

    /// What is on it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// Starts recording.
    pub(crate) fn record(&self) {
        self.state().events = Some(Vec::new());
    }

    /// Stops recording; what was recorded.
    pub(crate) fn recorded(&self) -> Vec<Event> {
        self.state().events.take().unwrap_or_default()
    }

    /// Notes an acknowledgement among the writes.
    pub(crate) fn acked(&self, seq: u64) {
        self.state().note(Event::Acked(seq));
    }

    /// From now on only so many bytes can be written; `None`: as many as one likes.
    pub(crate) fn leave_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, event: Event) {
        if let Some(events) = &mut self.events {
            events.push(event);
        }
    }

    fn take_room(&mut self, bytes: usize) -> Result<(), Error> {
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(bytes as u64).ok_or(ErrorKind::StorageFull)?;
        }
        Ok(())
    }
}

/// Does to an image what an event did to the disk.
pub(crate) fn apply(image: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let start = *offset as usize;
            if image.len() < start + data.len() {
                image.resize(start + data.len(), 0);
            }
            image[start..start + data.len()].copy_from_slice(data);
        }
        Event::Length(len) => image.resize(*len as usize, 0),
        Event::Sync | Event::Acked(_) => {}
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let state = self.state();
        let start = usize::try_from(offset).map_err(|_| ErrorKind::InvalidInput)?;
        let found = start
            .checked_add(out.len())
            .and_then(|end| state.bytes.get(start..end));
        out.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut state = self.state();
        state.bytes.resize(len as usize, 0);
        state.note(Event::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.state().note(Event::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut state = self.state();
        state.take_room(data.len())?;
        let event = Event::Write(offset, data.to_vec());
        apply(&mut state.bytes, &event);
        state.note(event);
        Ok(())
    }
}
