//! What the store in memory keeps, and how a journal entry changes it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::bulk::Bulk;
use super::flow::Flow;
use super::human_tasks::HumanTasks;
use super::schedules::Schedules;
use crate::store::fair::FairQueue;
use crate::store::{
    AHEAD_MAX, Amend, Amended, Beat, Claim, ClaimRequest, Control, DefinitionRow, Ended, Entry,
    EventRow, ExecutionRow, Fence, InboxMessage, LaneLength, Loaded, Next, Outcome, Queued,
    Snapshot, Start, Status, Subscription, Survey, TaskProgress, check,
};
use crate::{Error, ErrorKind, ExecutionId, InboxId, TenantId, WorkerId};

/// A definition and whether it is hidden.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) row: DefinitionRow,
    pub(super) deleted: bool,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) definitions: BTreeMap<(TenantId, String, String), Vec<Definition>>,
    pub(super) executions: HashMap<ExecutionId, Execution>,
    pub(super) by_start: BTreeSet<(TenantId, Timestamp, ExecutionId)>,
    pub(super) subscribers: BTreeSet<(TenantId, ExecutionId)>,
    pub(super) schedules: Schedules,
    pub(super) bulk: Bulk,
    /// What the function `store` keeps.
    pub(super) values: BTreeMap<(TenantId, String), Arc<str>>,
    /// What functions under way said last.
    pub(super) task_progress: BTreeMap<(ExecutionId, u64), TaskProgress>,
    pub(super) human_tasks: HumanTasks,
    pub(super) keys: HashMap<(TenantId, String), ExecutionId>,
    workers: BTreeMap<String, Worker>,
    ready: FairQueue<(Reverse<i32>, Timestamp, ExecutionId)>,
    timers: BTreeSet<(Timestamp, ExecutionId)>,
    owned: BTreeMap<WorkerId, BTreeSet<ExecutionId>>,
    pub(super) flow: Flow,
}

#[derive(Debug)]
struct Worker {
    id: WorkerId,
    epoch: i64,
    /// Absent once the life has ended.
    lease_until: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Execution {
    pub(super) tenant: TenantId,
    pub(super) start: Start,
    pub(super) journal: Vec<EventRow>,
    pub(super) subscriptions: BTreeMap<(u64, u32), Subscription>,
    pub(super) ended: Option<Ended>,
    snapshot: Option<Snapshot>,
    inbox: Vec<InboxMessage>,
    /// The ids of all messages ever put.
    known: HashSet<InboxId>,
    suspended: bool,
    place: Place,
}

/// Where an execution is in the queue.
#[derive(Debug, Clone)]
enum Place {
    Ready {
        due: Timestamp,
    },
    /// Before its gates.
    Held {
        due: Timestamp,
    },
    Owned {
        worker: WorkerId,
        due: Timestamp,
    },
    Parked {
        due: Option<Timestamp>,
        waiting_for: Option<String>,
    },
    Gone,
}

impl State {
    /// Gives what a tenant's executions listen for.
    pub(super) fn subscriptions(&self, tenant: TenantId) -> impl Iterator<Item = &Subscription> {
        let first = (tenant, ExecutionId::from_uuid(Uuid::nil()));
        let last = (tenant, ExecutionId::from_uuid(Uuid::max()));
        let listening = self.subscribers.range(first..=last);
        listening
            .filter_map(|(_, id)| self.executions.get(id))
            .flat_map(|execution| execution.subscriptions.values())
    }

    pub(super) fn register(
        &mut self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Fence {
        let previous = self.workers.get(name);
        let epoch = previous.map_or(0, |worker| worker.epoch) + 1;
        if let Some(previous) = previous.map(|worker| worker.id) {
            self.free(previous);
        }
        let worker = Worker {
            id,
            epoch,
            lease_until: Some(after(now, lease)),
        };
        self.workers.insert(name.to_owned(), worker);
        Fence {
            worker: id,
            name: name.to_owned(),
            epoch,
        }
    }

    pub(super) fn beat(&mut self, fence: &Fence, request: ClaimRequest) -> Result<Beat, Error> {
        let ClaimRequest { now, lease, limit } = request;
        self.check_fence(fence)?;
        if let Some(worker) = self.workers.get_mut(&fence.name) {
            worker.lease_until = Some(after(now, lease));
        }
        let mut dead = Vec::new();
        for worker in self.workers.values_mut() {
            let expired = worker.lease_until.is_some_and(|until| until < now);
            if expired && worker.id != fence.worker {
                worker.epoch += 1;
                worker.lease_until = None;
                dead.push(worker.id);
            }
        }
        for id in dead {
            self.free(id);
        }
        let (through, look_at) = self.flow.look(now);
        for id in through {
            if let Some(Place::Held { due }) = self.executions.get(&id).map(|one| &one.place) {
                let due = *due;
                self.place(id, Place::Ready { due });
            }
        }
        self.fire(now);
        // All that was due has just fired.
        let timer = self.timers.first().map(|(due, _)| *due);
        let look_at = look_at.into_iter().chain(timer).min();
        let claims = self.claim(fence.worker, limit);
        Ok(Beat { claims, look_at })
    }

    /// Tells whether this life of a worker has the execution.
    pub(super) fn owns(&self, worker: WorkerId, execution: ExecutionId) -> bool {
        let owned = self.owned.get(&worker);
        owned.is_some_and(|owned| owned.contains(&execution))
    }

    pub(super) fn claims(&self, worker: WorkerId) -> Vec<Claim> {
        let owned = self.owned.get(&worker).into_iter().flatten();
        let claims = owned.filter_map(|id| {
            let tenant = self.executions.get(id)?.tenant;
            Some(Claim {
                tenant,
                execution: *id,
            })
        });
        claims.collect()
    }

    pub(super) fn release(&mut self, fence: &Fence) {
        if self.check_fence(fence).is_err() {
            return;
        }
        if let Some(worker) = self.workers.get_mut(&fence.name) {
            worker.epoch += 1;
            worker.lease_until = None;
        }
        self.free(fence.worker);
    }

    pub(super) fn append(
        &mut self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<Vec<Outcome>, Error> {
        if let Some(fence) = fence {
            self.check_fence(fence)?;
        }
        let worker = fence.map(|fence| fence.worker);
        let mut outcomes = Vec::with_capacity(entries.len());
        for (entry, refused) in entries.iter().zip(check::batch(fence.is_some(), entries)) {
            outcomes.push(match refused {
                Some(reason) => Outcome::Refused(reason),
                None => self.record(worker, entry),
            });
        }
        // Receivers may start, park or end in the same batch, so messages come last.
        for (entry, outcome) in entries.iter().zip(&outcomes) {
            if *outcome == Outcome::Recorded {
                for message in &entry.messages {
                    self.deliver(message);
                }
            }
        }
        Ok(outcomes)
    }

    pub(super) fn load(&self, id: ExecutionId) -> Option<Loaded> {
        let execution = self.executions.get(&id)?;
        if execution.ended.is_some() {
            return None;
        }
        let snapshot = execution.snapshot.clone();
        let after = snapshot.as_ref().map_or(0, |snapshot| snapshot.sequence);
        let tail = execution.journal.iter();
        Some(Loaded {
            tenant: execution.tenant,
            execution: id,
            workflow: execution.start.workflow.clone(),
            program: execution.start.program,
            parent: execution.start.parent,
            started_at: execution.start.at,
            priority: execution.start.priority,
            gated: !execution.start.gates.is_empty(),
            input: execution
                .journal
                .is_empty()
                .then(|| Arc::clone(&execution.start.input)),
            tail: tail.filter(|row| after < row.sequence).cloned().collect(),
            snapshot,
            inbox: execution.waiting(),
        })
    }

    pub(super) fn keyed(&self, tenant: TenantId, key: &str) -> Option<ExecutionId> {
        self.keys.get(&(tenant, key.to_owned())).copied()
    }

    pub(super) fn inbox(&self, id: ExecutionId) -> Vec<InboxMessage> {
        let execution = self.executions.get(&id);
        execution.map(Execution::waiting).unwrap_or_default()
    }

    /// Puts a message and makes its receiver due.
    pub(super) fn deliver(&mut self, message: &InboxMessage) {
        let id = message.execution;
        let Some(execution) = self.executions.get_mut(&id) else {
            return;
        };
        if execution.tenant != message.tenant
            || execution.ended.is_some()
            || !execution.known.insert(message.id)
        {
            return;
        }
        execution.inbox.push(message.clone());
        if let Place::Parked { due, .. } = execution.place {
            let due = due.map_or(message.at, |due| due.min(message.at));
            self.place(id, Place::Ready { due });
        }
    }

    /// Puts a message of control; tells whether its receiver is there.
    pub(super) fn control(&mut self, message: &InboxMessage, control: Control) -> bool {
        let id = message.execution;
        let found = self.executions.get_mut(&id);
        let Some(execution) =
            found.filter(|one| one.tenant == message.tenant && one.ended.is_none())
        else {
            return false;
        };
        let held = match execution.place {
            Place::Held { due } => Some(due),
            _ => None,
        };
        let before = execution.suspended;
        match control {
            Control::Tell => {}
            Control::Suspend => execution.suspended = true,
            Control::Resume | Control::End => execution.suspended = false,
        }
        match (control, held) {
            (Control::Suspend, Some(_)) => self.flow.withdraw(id),
            (Control::Resume, Some(_)) if before => self.flow.return_to_gate(id),
            (Control::End, Some(due)) => {
                self.flow.withdraw(id);
                self.place(id, Place::Ready { due });
            }
            _ => {}
        }
        self.deliver(message);
        true
    }

    /// Changes an execution that no worker has.
    pub(super) fn amend(&mut self, amend: &Amend) -> Amended {
        let id = amend.execution;
        let found = self.executions.get_mut(&id);
        let Some(execution) = found.filter(|one| one.tenant == amend.tenant) else {
            return Amended::Moved;
        };
        if matches!(execution.place, Place::Owned { .. }) {
            return Amended::Owned;
        }
        let last = execution.journal.last().map_or(0, |row| row.sequence);
        if last != amend.after {
            return Amended::Moved;
        }
        execution.journal.extend(amend.events.iter().cloned());
        execution.snapshot = Some(amend.snapshot.clone());
        let subscribe = amend.subscribe.iter().cloned();
        execution.subscriptions = subscribe
            .map(|one| ((one.effect, one.filter), one))
            .collect();
        let suspended = std::mem::take(&mut execution.suspended);
        if execution.ended.take().is_some() {
            execution.start.gates.clone_from(&amend.gates);
        }
        execution.start.workflow = amend.workflow.clone();
        execution.start.program = amend.program;
        if let Some(input) = &amend.input {
            execution.start.input = Arc::clone(input);
        }
        if execution.subscriptions.is_empty() {
            self.subscribers.remove(&(amend.tenant, id));
        } else {
            self.subscribers.insert((amend.tenant, id));
        }
        match (&execution.place, execution.start.gates.is_empty()) {
            (Place::Held { .. }, _) if suspended => self.flow.return_to_gate(id),
            (Place::Held { .. }, _) => {}
            (Place::Gone, false) => self.place(id, Place::Held { due: amend.at }),
            _ => self.place(id, Place::Ready { due: amend.at }),
        }
        let ids = (amend.tenant, id);
        self.human_tasks.amend(ids, &amend.human_tasks, amend.at);
        for message in &amend.messages {
            self.deliver(message);
        }
        Amended::Done
    }

    fn check_fence(&self, fence: &Fence) -> Result<(), Error> {
        let holds = self
            .workers
            .get(&fence.name)
            .is_some_and(|worker| worker.id == fence.worker && worker.epoch == fence.epoch);
        if holds { Ok(()) } else { Err(fenced(fence)) }
    }

    fn record(&mut self, worker: Option<WorkerId>, entry: &Entry) -> Outcome {
        let id = entry.execution;
        if let Some(start) = &entry.start {
            if let Some(found) = self.begin(entry, start) {
                return found;
            }
        } else if !self.may_append(worker, entry) {
            return Outcome::AlreadyRecorded;
        }
        let Some(execution) = self.executions.get_mut(&id) else {
            return Outcome::AlreadyRecorded;
        };
        execution.journal.extend(entry.events.iter().cloned());
        if let Some(snapshot) = &entry.snapshot {
            execution.snapshot = Some(snapshot.clone());
        }
        for one in &entry.subscribe {
            let key = (one.effect, one.filter);
            execution.subscriptions.insert(key, one.clone());
        }
        execution
            .subscriptions
            .retain(|(effect, _), _| !entry.unsubscribe.contains(effect));
        execution
            .inbox
            .retain(|message| !entry.consumed.contains(&message.id));
        let place = execution.next_place(worker, entry);
        if let Next::Ended(ended) = &entry.next {
            execution.ended = Some(ended.clone());
            execution.snapshot = None;
            execution.subscriptions.clear();
            execution.inbox = Vec::new();
            execution.known = HashSet::new();
        }
        let listens = !execution.subscriptions.is_empty();
        if listens {
            self.subscribers.insert((entry.tenant, id));
        } else {
            self.subscribers.remove(&(entry.tenant, id));
        }
        self.place(id, place);
        for change in &entry.human_tasks {
            self.human_tasks.change(entry.tenant, id, change);
        }
        Outcome::Recorded
    }

    /// Creates the execution, or tells what stands in the way.
    fn begin(&mut self, entry: &Entry, start: &Start) -> Option<Outcome> {
        let id = entry.execution;
        if self.executions.contains_key(&id) {
            return Some(Outcome::AlreadyRecorded);
        }
        if let Some(key) = &start.idempotency_key {
            let key = (entry.tenant, key.clone());
            if let Some(first) = self.keys.get(&key) {
                return Some(Outcome::Exists(*first));
            }
            self.keys.insert(key, id);
        }
        self.by_start.insert((entry.tenant, start.at, id));
        let execution = Execution {
            tenant: entry.tenant,
            start: start.clone(),
            journal: Vec::new(),
            subscriptions: BTreeMap::new(),
            ended: None,
            snapshot: None,
            inbox: Vec::new(),
            known: HashSet::new(),
            suspended: false,
            place: Place::Gone,
        };
        self.executions.insert(id, execution);
        None
    }

    fn may_append(&self, worker: Option<WorkerId>, entry: &Entry) -> bool {
        let Some(execution) = self.executions.get(&entry.execution) else {
            return false;
        };
        let owner = match execution.place {
            Place::Owned { worker, .. } => Some(worker),
            Place::Ready { .. } | Place::Held { .. } | Place::Parked { .. } => None,
            Place::Gone => return false,
        };
        let last = execution.journal.last().map_or(0, |row| row.sequence);
        let new = entry.events.first().is_none_or(|row| last < row.sequence);
        execution.tenant == entry.tenant && owner == worker && new
    }

    fn place(&mut self, id: ExecutionId, place: Place) {
        let Some(execution) = self.executions.get_mut(&id) else {
            return;
        };
        let (tenant, priority) = (execution.tenant, Reverse(execution.start.priority));
        match &execution.place {
            Place::Ready { due } => self.ready.remove(tenant, &(priority, *due, id)),
            Place::Parked { due: Some(due), .. } => drop(self.timers.remove(&(*due, id))),
            Place::Owned { worker, .. } => {
                if let Some(owned) = self.owned.get_mut(worker) {
                    owned.remove(&id);
                }
            }
            Place::Held { .. } | Place::Parked { due: None, .. } | Place::Gone => {}
        }
        match &place {
            Place::Held { due } => {
                let start = &execution.start;
                self.flow
                    .join((tenant, id), &start.gates, start.priority, *due);
            }
            Place::Gone => self.flow.leave(id),
            Place::Ready { due } => self.ready.push(tenant, (priority, *due, id)),
            Place::Parked { due: Some(due), .. } => drop(self.timers.insert((*due, id))),
            Place::Owned { worker, .. } => {
                self.owned.entry(*worker).or_default().insert(id);
            }
            Place::Parked { due: None, .. } => {}
        }
        execution.place = place;
    }

    /// Makes claimable what a worker owned.
    fn free(&mut self, worker: WorkerId) {
        for id in self.owned.remove(&worker).unwrap_or_default() {
            if let Some(Place::Owned { due, .. }) = self.executions.get(&id).map(|one| &one.place) {
                let due = *due;
                self.place(id, Place::Ready { due });
            }
        }
    }

    /// Makes claimable what waited for a time that has come.
    fn fire(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.timers.first().copied() {
            if now < due {
                break;
            }
            self.place(id, Place::Ready { due });
        }
    }

    /// Sets the weight of a tenant from now on.
    pub(super) fn weigh(&mut self, tenant: TenantId, weight: u32) {
        self.ready.weigh(tenant, weight);
    }

    /// Says what a pending execution waits for.
    pub(super) fn queued(&self, tenant: TenantId, id: ExecutionId) -> Option<Queued> {
        let execution = self
            .executions
            .get(&id)
            .filter(|one| one.tenant == tenant)?;
        let Place::Ready { due } = execution.place else {
            let held = matches!(execution.place, Place::Held { .. }) && !execution.suspended;
            return self.flow.place(id).filter(|_| held);
        };
        let key = (Reverse(execution.start.priority), due, id);
        let ahead = self.ready.ahead(tenant, &key);
        Some(Queued {
            rule: None,
            value: String::new(),
            ahead: u32::try_from(ahead).unwrap_or(AHEAD_MAX).min(AHEAD_MAX),
            concurrency: None,
            in_use: 0,
            not_before: None,
        })
    }

    /// Counts what waits, up to bounds.
    pub(super) fn survey(&self, lanes_max: usize, each_max: usize) -> Survey {
        let bounded = |count: usize| u32::try_from(count.min(each_max)).unwrap_or(u32::MAX);
        let lanes = self.ready.lanes().into_iter().take(lanes_max);
        let lanes = lanes.filter_map(|(tenant, items)| {
            let since = items.iter().take(each_max).map(|(_, due, _)| *due).min()?;
            Some(LaneLength {
                tenant,
                ready: bounded(items.len()),
                since,
            })
        });
        Survey {
            lanes: lanes.collect(),
            held: bounded(self.flow.held()),
        }
    }

    /// Counts what waits in the queue.
    pub(super) fn queue_length(&self, tenant: TenantId, prefix: Option<&str>) -> usize {
        match prefix {
            Some(prefix) => self.flow.length(tenant, prefix),
            None => self.flow.length(tenant, "") + self.ready.length(tenant),
        }
    }

    #[cfg(feature = "testing")]
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    fn claim(&mut self, worker: WorkerId, limit: u32) -> Vec<Claim> {
        let mut claims = Vec::new();
        for (_, due, id) in self.ready.claim(limit as usize) {
            if let Some(execution) = self.executions.get(&id) {
                claims.push(Claim {
                    tenant: execution.tenant,
                    execution: id,
                });
            }
            self.place(id, Place::Owned { worker, due });
        }
        claims
    }
}

impl Execution {
    pub(super) fn row(&self, id: ExecutionId, whole: bool) -> ExecutionRow {
        let ended = self.ended.as_ref();
        let waiting_for = match &self.place {
            Place::Parked { waiting_for, .. } => waiting_for.as_deref().map(check::without_nulls),
            _ => None,
        };
        ExecutionRow {
            id,
            workflow: self.start.workflow.clone(),
            program: self.start.program,
            status: self.status(),
            started_at: self.start.at,
            ended_at: ended.map(|ended| ended.at),
            waiting_for,
            input: whole.then(|| Arc::clone(&self.start.input)),
            output: ended.filter(|_| whole).and_then(|end| end.output.clone()),
            error: ended.filter(|_| whole).and_then(|end| end.error.clone()),
            parent: self.start.parent.map(|parent| parent.execution),
            attributes: self.start.attributes.clone(),
            priority: self.start.priority,
        }
    }

    pub(super) fn status(&self) -> Status {
        match (&self.ended, &self.place) {
            (Some(ended), _) => ended.status,
            (None, _) if self.suspended => Status::Suspended,
            (None, Place::Owned { .. }) => Status::Running,
            (None, Place::Parked { .. }) => Status::Waiting,
            (None, Place::Ready { .. } | Place::Held { .. } | Place::Gone) => Status::Pending,
        }
    }

    fn waiting(&self) -> Vec<InboxMessage> {
        let mut messages = self.inbox.clone();
        messages.sort_by_key(|message| message.at);
        messages
    }

    fn next_place(&self, worker: Option<WorkerId>, entry: &Entry) -> Place {
        let before = match &self.place {
            Place::Ready { due } | Place::Held { due } | Place::Owned { due, .. } => Some(*due),
            Place::Parked { due, .. } => *due,
            Place::Gone => None,
        };
        let due = before.unwrap_or(self.start.at);
        if entry.start.is_some() && !self.start.gates.is_empty() {
            return Place::Held { due };
        }
        match (&entry.next, worker) {
            (Next::Owned, Some(worker)) => Place::Owned { worker, due },
            (Next::Owned, None) | (Next::Queued, _) => Place::Ready { due },
            (Next::Ended(_), _) => Place::Gone,
            (Next::Parked { due, waiting_for }, _) => {
                // A message that came meanwhile would otherwise never wake it.
                match self.inbox.iter().map(|message| message.at).min() {
                    Some(at) => Place::Ready {
                        due: due.map_or(at, |due| due.min(at)),
                    },
                    None => Place::Parked {
                        due: *due,
                        waiting_for: waiting_for.clone(),
                    },
                }
            }
        }
    }
}

fn after(now: Timestamp, lease: SignedDuration) -> Timestamp {
    now.checked_add(lease).unwrap_or(Timestamp::MAX)
}

pub(super) fn fenced(fence: &Fence) -> Error {
    Error::new(ErrorKind::Fenced, "the worker has lost its lease").with("worker", fence.worker)
}
