//! Lifecycle events: what happens to workflows and tasks, as the standard's CloudEvents.
//!
//! They are told after the commit, to subscribers in this process and to the host's
//! sink. Telling is best effort: the journal is the record, and whoever must miss nothing
//! reads that. An id is the same however often something is told. The standard's optional
//! `status-changed` events are left out.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use futures_util::{Stream, stream};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::control::tasks_of;
use super::handle::Handle;
use super::life::Core;
use super::progress::Identity;
use crate::interpreter::{Problem, TaskRecord, TaskState};
use crate::store::{Ended, EventRow, Next, Status};
use crate::{Scope, TenantId};

const PREFIX: &str = "io.serverlessworkflow";
const SOURCE: &str = "urn:auterity";

type Tell = dyn Fn(TenantId, &Arc<Value>) + Send + Sync;

/// Takes every lifecycle event of every tenant, for a host that passes them on.
#[derive(Clone, Default)]
pub struct LifecycleSink {
    tell: Option<Arc<Tell>>,
}

impl LifecycleSink {
    /// Takes nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Calls the given function, which must not block.
    #[must_use]
    pub fn new(tell: impl Fn(TenantId, &Arc<Value>) + Send + Sync + 'static) -> Self {
        Self {
            tell: Some(Arc::new(tell)),
        }
    }
}

impl fmt::Debug for LifecycleSink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_some = self.tell.is_some();
        out.debug_tuple("LifecycleSink").field(&is_some).finish()
    }
}

/// One word of a tenant's lifecycle events.
#[derive(Debug, Clone)]
pub enum LifecycleItem {
    /// An event, as a CloudEvent in structured form.
    Event(Arc<Value>),
    /// Some events were missed, for the reader was too slow.
    Lagged,
}

impl Handle {
    /// Gives the tenant's lifecycle events from now on, of executions that are at work in
    /// this process.
    pub fn lifecycle(&self, scope: &Scope) -> impl Stream<Item = LifecycleItem> + Send + use<> {
        let tenant = scope.tenant();
        let events = self.core().feed.lifecycle();
        stream::unfold(events, move |mut events| async move {
            loop {
                match events.recv().await {
                    Ok((whose, event)) if whose == tenant => {
                        return Some((LifecycleItem::Event(event), events));
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return Some((LifecycleItem::Lagged, events)),
                    Err(RecvError::Closed) => return None,
                }
            }
        })
    }
}

impl Core {
    /// Tells whether anybody wants lifecycle events; without one they are not made.
    pub(super) fn lifecycle_is_read(&self) -> bool {
        self.ports.lifecycle.tell.is_some() || self.feed.lifecycle_is_read()
    }

    /// Tells what an entry that is committed meant.
    pub(super) fn tell_lifecycle(&self, identity: &Identity, rows: &[EventRow], next: &Next) {
        for event in events(identity, rows, next) {
            let event = Arc::new(event);
            if let Some(tell) = &self.ports.lifecycle.tell {
                tell(identity.tenant, &event);
            }
            self.feed.tell_lifecycle(identity.tenant, event);
        }
    }
}

/// Makes the events of an entry.
fn events(identity: &Identity, rows: &[EventRow], next: &Next) -> Vec<Value> {
    let workflow = identity.program.workflow();
    let mut told = Told {
        name: format!(
            "{}-{}.{}",
            workflow.name, identity.execution, workflow.namespace
        ),
        execution: identity.execution.to_string(),
        sequence: 0,
        count: 0,
        begun: HashSet::new(),
        events: Vec::new(),
    };
    for row in rows {
        told.sequence = row.sequence;
        told.count = 0;
        match row.kind {
            "execution.started" => {
                let definition = json!({
                    "namespace": workflow.namespace, "name": workflow.name, "version": workflow.version,
                });
                told.workflow(
                    "started",
                    identity.started_at,
                    json!({ "definition": definition }),
                );
            }
            "execution.suspended" => told.workflow("suspended", row.at, json!({})),
            "execution.resumed" => told.workflow("resumed", row.at, json!({})),
            _ => {}
        }
        // What was written was made by this process a moment ago.
        let records = tasks_of(row).unwrap_or_default();
        for record in &records {
            told.task(record);
        }
    }
    if let Next::Ended(ended) = next {
        told.end(ended);
    }
    told.events
}

struct Told {
    name: String,
    execution: String,
    /// The journal row that is being told, and how many events of it there were.
    sequence: u64,
    count: u32,
    /// The activations of tasks whose beginning has been told.
    begun: HashSet<String>,
    events: Vec<Value>,
}

impl Told {
    fn workflow(&mut self, what: &str, at: Timestamp, more: Value) {
        let mut data = json!({ "name": self.name });
        merge(&mut data, &format!("{}At", moment(what)), at, more);
        self.push(&format!("{PREFIX}.workflow.{what}.v1"), at, &data);
    }

    fn task(&mut self, record: &TaskRecord) {
        if record.state == TaskState::Skipped {
            return;
        }
        // One that is retried within the event in which it began is announced after that.
        let begins = !record.announced && self.begun.insert(record.path.clone());
        let is_listen = record.kind == "listen";
        if begins {
            self.of_task(record, "created", record.started_at, json!({}));
            self.of_task(record, "started", record.started_at, json!({}));
            if is_listen {
                self.workflow("correlation-started", record.started_at, json!({}));
            }
        }
        let error = || record.error.as_ref().map_or(Value::Null, Problem::to_value);
        match record.state {
            TaskState::Started | TaskState::Skipped => {}
            TaskState::Retrying => self.of_task(record, "retried", record.at, json!({})),
            TaskState::Cancelled => self.of_task(record, "cancelled", record.at, json!({})),
            TaskState::Faulted => {
                self.of_task(record, "faulted", record.at, json!({ "error": error() }));
            }
            TaskState::Completed => {
                if is_listen {
                    self.workflow("correlation-completed", record.at, json!({}));
                }
                let more = record.output.as_ref();
                let more = more.map_or_else(|| json!({}), |output| json!({ "output": output }));
                self.of_task(record, "completed", record.at, more);
            }
        }
    }

    fn of_task(&mut self, record: &TaskRecord, what: &str, at: Timestamp, more: Value) {
        let mut data = json!({ "workflow": self.name, "task": record.task });
        merge(&mut data, &format!("{what}At"), at, more);
        self.push(&format!("{PREFIX}.task.{what}.v1"), at, &data);
    }

    fn end(&mut self, ended: &Ended) {
        let read = |text: &Option<Arc<str>>| {
            let value = text.as_deref().map(serde_json::from_str::<Value>);
            value.and_then(Result::ok).unwrap_or_default()
        };
        match ended.status {
            Status::Completed => {
                let more = json!({ "output": read(&ended.output) });
                self.workflow("completed", ended.at, more);
            }
            Status::Faulted => {
                let more = json!({ "error": read(&ended.error) });
                self.workflow("faulted", ended.at, more);
            }
            _ => self.workflow("cancelled", ended.at, json!({})),
        }
    }

    fn push(&mut self, kind: &str, at: Timestamp, data: &Value) {
        let id = format!("{}-{}-{}", self.execution, self.sequence, self.count);
        self.count += 1;
        self.events.push(json!({
            "specversion": "1.0",
            "id": id,
            "source": SOURCE,
            "type": kind,
            "subject": self.execution,
            "time": at.to_string(),
            "datacontenttype": "application/json",
            "data": data,
        }));
    }
}

/// The word that the standard's property for the time begins with.
fn moment(what: &str) -> &str {
    what.strip_prefix("correlation-").unwrap_or(what)
}

fn merge(data: &mut Value, time: &str, at: Timestamp, more: Value) {
    data[time] = json!(at.to_string());
    if let (Value::Object(data), Value::Object(more)) = (data, more) {
        let more: Map<String, Value> = more;
        data.extend(more);
    }
}
