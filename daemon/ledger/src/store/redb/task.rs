//! Tasks as rows and back.

use prost::Message;
use tokmon_core::entry::Body;
use tokmon_core::task::Allocation;

use super::codec::{BodyRow, MoneyRow};

#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskAllocatedRow {
    #[prost(string, tag = "1")]
    agent: String,
    #[prost(string, tag = "2")]
    session: String,
    #[prost(string, tag = "3")]
    task: String,
    #[prost(uint32, tag = "4")]
    priority: u32,
    #[prost(uint64, tag = "5")]
    tokens: u64,
    #[prost(message, optional, tag = "6")]
    cost: Option<MoneyRow>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TaskCompletedRow {
    #[prost(string, tag = "1")]
    session: String,
    #[prost(string, tag = "2")]
    task: String,
}

/// The row of an allocation.
pub(super) fn allocated_row(allocation: &Allocation) -> BodyRow {
    BodyRow::TaskAllocated(TaskAllocatedRow {
        agent: allocation.agent.to_string(),
        session: allocation.session.to_string(),
        task: allocation.task.to_string(),
        priority: allocation.priority,
        tokens: allocation.tokens,
        cost: Some(allocation.cost.into()),
    })
}

/// An allocation.
pub(super) fn allocated(row: TaskAllocatedRow) -> Body {
    Body::TaskAllocated(Box::new(Allocation {
        agent: row.agent.into(),
        session: row.session.into(),
        task: row.task.into(),
        priority: row.priority,
        tokens: row.tokens,
        cost: row.cost.map(Into::into).unwrap_or_default(),
    }))
}

/// The row of a completion.
pub(super) fn completed_row(session: &str, task: &str) -> BodyRow {
    BodyRow::TaskCompleted(TaskCompletedRow {
        session: session.to_owned(),
        task: task.to_owned(),
    })
}

/// A completion.
pub(super) fn completed(row: TaskCompletedRow) -> Body {
    Body::TaskCompleted {
        session: row.session.into(),
        task: row.task.into(),
    }
}
