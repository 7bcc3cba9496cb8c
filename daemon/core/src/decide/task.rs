//! Decisions about tasks: allocate, complete.

use crate::Name;
use crate::budget::Binding;
use crate::entry::Body;
use crate::limits::MAX_TASKS;
use crate::refusal::Refusal;
use crate::state::Draft;
use crate::task::{Allocation, rooms};

/// What became of a request to keep a share for a task.
#[derive(Debug)]
pub enum Allocated {
    /// It is kept already; nothing is written.
    Known,
    /// There is no room for it; nothing is written.
    Denied(Box<Binding>),
    /// This is written.
    Written(Body),
}

impl Draft {
    /// Decides about a share for a task: it must fit in every budget of its session that denies, beside what is used,
    /// held, and kept for tasks of the same priority and of higher ones. Asked again with other figures, they are the
    /// task's from then on.
    ///
    /// # Errors
    /// A field is wrong, the session has no budget that denies, the task is complete, or there are too many.
    pub fn allocate(&self, allocation: Allocation, now_ms: i64) -> Result<Allocated, Refusal> {
        let wanted = allocation.checked()?;
        let tasks = &self.state.tasks;
        match tasks.get(&wanted.session, &wanted.task) {
            Some(task) if !task.is_open() => {
                let what = format!("the completion of task {:?}", cut(&wanted.task));
                return Err(Refusal::Conflict { what });
            }
            Some(task) if task.allocation == wanted => return Ok(Allocated::Known),
            None if tasks.are_too_many() => {
                let allowed = format!("at most {MAX_TASKS}; complete some");
                return Err(Refusal::invalid("task", "too many tasks are open", allowed));
            }
            _ => {}
        }
        let budgets = self.state.budgets.values().map(|account| &**account);
        let rooms = rooms(budgets, tasks, &wanted, now_ms);
        if rooms.is_empty() {
            let session = cut(&wanted.session);
            let what = format!("budget that denies and covers session {session:?} alone");
            return Err(Refusal::NotFound { what });
        }
        let blocking = rooms.iter().filter(|room| !room.fits());
        let end = |resets_at_ms| if resets_at_ms == 0 { i64::MAX } else { resets_at_ms };
        if let Some(room) = blocking.max_by_key(|room| end(room.standing.resets_at_ms)) {
            return Ok(Allocated::Denied(Box::new(Binding::of_share(room))));
        }
        Ok(Allocated::Written(Body::TaskAllocated(Box::new(wanted))))
    }

    /// Decides about the end of a task: nothing is kept for it any more. `None`: it is complete already.
    ///
    /// # Errors
    /// It is not known.
    pub fn complete_task(&self, session: &Name, task: &Name) -> Result<Option<Body>, Refusal> {
        match self.state.tasks.get(session, task) {
            None => {
                let what = format!("task {:?} of session {:?}", cut(task), cut(session));
                Err(Refusal::NotFound { what })
            }
            Some(known) => Ok(known.is_open().then(|| Body::TaskCompleted {
                session: session.clone(),
                task: task.clone(),
            })),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
