//! The database: `message` with a JSON column, and `session`, which says where it was and whose child.

use std::path::Path;

use super::message::Message;
use super::{Session, book};
use crate::agents::Notes;
use crate::agents::database::{Mark, row_of, sessions_of, settled};
use crate::agents::json::Problem;
use crate::sqlite::{Snapshot, Trouble};

/// Reads what is new.
pub(super) fn read(path: &Path, notes: &mut Notes<'_>) -> Result<(), Trouble> {
    let now_ms = notes.now_ms;
    let before = Mark::load(&notes.state);
    let (messages, sessions, mark, all) = settled(path, |snapshot| {
        let mut mark = before.clone();
        let table = snapshot.table("message", &["id", "session_id", "data"], &[])?;
        let (messages, all) = mark.read(snapshot, &table, |row| {
            let data = row.value(2)?;
            let Some(data) = data.bytes() else {
                return Err(Problem("its data is no text".into()));
            };
            let Some(mut message) = Message::parse(data)? else {
                return Ok((None, false));
            };
            message.session = row.value(1)?.text().unwrap_or_default().to_owned();
            let (done, may_change) = (message.is_done(now_ms), message.may_change());
            Ok(((done && message.counts()).then_some(message), may_change))
        })?;
        let sessions = sessions_of(&messages, |message| &message.session, |id| session(snapshot, id))?;
        Ok((messages, sessions, mark, all))
    })?;
    for (row, message) in messages {
        match message {
            Ok(message) => {
                let session = sessions.get(&message.session).cloned().unwrap_or_default();
                book(message, &session, row.cast_unsigned(), notes);
            }
            Err(problem) => notes.fail(row.cast_unsigned(), problem.0),
        }
    }
    (notes.state, notes.more) = (mark.save(), !all);
    Ok(())
}

/// What is known of a session. Without it a message counts all the same.
fn session(snapshot: &mut Snapshot, id: &str) -> Result<Session, Trouble> {
    let mut session = Session::default();
    row_of(snapshot, "session", &["directory"], &["parent_id"], id, |row| {
        session.directory = row.value(0)?.text().unwrap_or_default().to_owned();
        session.is_child = row.value(1)?.text().is_some_and(|parent| !parent.is_empty());
        Ok(())
    })?;
    Ok(session)
}
