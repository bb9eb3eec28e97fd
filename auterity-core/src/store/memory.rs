//! The store in memory: for tests and for hosts that need no durability.
//!
//! It keeps the same promises as the others, but for one: nothing survives the process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use semver::Version;

use super::{
    Claim, ClaimRequest, DefinitionPut, DefinitionQuery, DefinitionRow, DefinitionSummary,
    DefinitionVersion, Ended, Entry, EventRow, ExecutionQuery, ExecutionRow, Fence, InboxMessage,
    Loaded, Next, Outcome, Page, Snapshot, Start, Status, Store, Subscription,
};
use crate::definition::{ProgramHash, WorkflowRef};
use crate::{Error, ErrorKind, ExecutionId, InboxId, Scope, TenantId, WorkerId};

/// Keeps everything in maps behind one lock.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    definitions: BTreeMap<DefinitionKey, Definition>,
    executions: BTreeMap<ExecutionId, Execution>,
    keys: HashMap<(TenantId, String), ExecutionId>,
    workers: BTreeMap<WorkerId, Worker>,
}

type DefinitionKey = (TenantId, String, String, String);

#[derive(Debug)]
struct Definition {
    row: DefinitionRow,
    deleted: bool,
}

#[derive(Debug)]
struct Worker {
    name: String,
    epoch: i64,
    lease_until: Timestamp,
}

#[derive(Debug)]
struct Execution {
    tenant: TenantId,
    start: Start,
    journal: Vec<EventRow>,
    snapshot: Option<Snapshot>,
    subscriptions: BTreeMap<(u64, u32), Subscription>,
    inbox: Vec<InboxMessage>,
    known: BTreeSet<InboxId>,
    queue: Queue,
}

#[derive(Debug)]
enum Queue {
    Due {
        at: Timestamp,
    },
    Owned {
        worker: WorkerId,
    },
    Parked {
        due: Option<Timestamp>,
        waiting_for: Option<String>,
    },
    Ended(Ended),
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn migrate(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn definition_put(
        &self,
        scope: &Scope,
        row: DefinitionRow,
    ) -> Result<DefinitionPut, Error> {
        let WorkflowRef {
            namespace,
            name,
            version,
        } = row.workflow.clone();
        let key = (scope.tenant(), namespace, name, version);
        let mut tables = self.lock();
        match tables.definitions.get(&key) {
            Some(known) if known.row.hash != row.hash => return Ok(DefinitionPut::Conflict),
            Some(known) if !known.deleted => return Ok(DefinitionPut::Same),
            _ => {}
        }
        tables.definitions.insert(
            key,
            Definition {
                row,
                deleted: false,
            },
        );
        Ok(DefinitionPut::Created)
    }

    async fn definition_fetch(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<DefinitionRow>, Error> {
        let tables = self.lock();
        let found = tables.versions(scope, namespace, name).into_iter();
        let mut found = found.filter(|row| version.is_none_or(|it| it == row.workflow.version));
        Ok(found.next().cloned())
    }

    async fn definition_fetch_pinned(
        &self,
        tenant: TenantId,
        hash: ProgramHash,
    ) -> Result<Option<DefinitionRow>, Error> {
        let tables = self.lock();
        let mut rows = tables
            .definitions
            .iter()
            .filter(|((whose, ..), _)| *whose == tenant);
        Ok(rows
            .find(|(_, it)| it.row.hash == hash)
            .map(|(_, it)| it.row.clone()))
    }

    async fn definition_list(
        &self,
        scope: &Scope,
        query: &DefinitionQuery,
    ) -> Result<Page<DefinitionSummary>, Error> {
        let tables = self.lock();
        let names: BTreeSet<(String, String)> = tables
            .definitions
            .iter()
            .filter(|((tenant, ..), it)| *tenant == scope.tenant() && !it.deleted)
            .map(|((_, namespace, name, _), _)| (namespace.clone(), name.clone()))
            .collect();
        let rows = names
            .into_iter()
            .filter(|name| query.after.as_ref().is_none_or(|after| after < name))
            .filter_map(|(namespace, name)| {
                tables
                    .versions(scope, &namespace, &name)
                    .first()
                    .map(|row| DefinitionSummary {
                        workflow: row.workflow.clone(),
                        title: row.title.clone(),
                        summary: row.summary.clone(),
                        created_at: row.created_at,
                    })
            })
            .filter(|row| query.text.as_deref().is_none_or(|text| mentions(row, text)));
        Ok(page(rows, query.limit))
    }

    async fn definition_versions(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<DefinitionVersion>, Error> {
        let tables = self.lock();
        let rows = tables.versions(scope, namespace, name).into_iter();
        Ok(rows
            .map(|row| DefinitionVersion {
                version: row.workflow.version.clone(),
                hash: row.hash,
                created_at: row.created_at,
            })
            .collect())
    }

    async fn definition_delete(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Error> {
        let mut tables = self.lock();
        let mut any = false;
        for ((tenant, its_namespace, its_name, _), it) in &mut tables.definitions {
            if *tenant == scope.tenant() && its_namespace == namespace && its_name == name {
                any |= !it.deleted;
                it.deleted = true;
            }
        }
        Ok(any)
    }

    async fn worker_register(
        &self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Fence, Error> {
        let mut tables = self.lock();
        let earlier: Vec<WorkerId> = tables
            .workers
            .iter()
            .filter(|(_, it)| it.name == name)
            .map(|(id, _)| *id)
            .collect();
        let mut epoch = 0;
        for old in earlier {
            epoch = epoch.max(tables.retire(old, now));
        }
        epoch += 1;
        let worker = Worker {
            name: name.to_owned(),
            epoch,
            lease_until: now + lease,
        };
        tables.workers.insert(id, worker);
        Ok(Fence {
            worker: id,
            name: name.to_owned(),
            epoch,
        })
    }

    async fn worker_beat(&self, fence: &Fence, request: ClaimRequest) -> Result<Vec<Claim>, Error> {
        let mut tables = self.lock();
        tables.check(fence)?;
        if let Some(worker) = tables.workers.get_mut(&fence.worker) {
            worker.lease_until = request.now + request.lease;
        }
        let dead = tables
            .workers
            .iter()
            .filter(|(_, it)| it.lease_until < request.now);
        let dead: Vec<WorkerId> = dead.map(|(id, _)| *id).collect();
        for id in dead {
            tables.retire(id, request.now);
        }
        Ok(tables.claim(fence.worker, request))
    }

    async fn worker_release(&self, fence: &Fence) -> Result<(), Error> {
        let mut tables = self.lock();
        if tables.check(fence).is_ok() {
            tables.retire(fence.worker, Timestamp::MIN);
        }
        Ok(())
    }

    async fn journal_append(
        &self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<Vec<Outcome>, Error> {
        let mut tables = self.lock();
        if let Some(fence) = fence {
            tables.check(fence)?;
        }
        Ok(entries
            .iter()
            .map(|entry| tables.append(fence, entry))
            .collect())
    }

    async fn execution_load(&self, ids: &[ExecutionId]) -> Result<Vec<Loaded>, Error> {
        let tables = self.lock();
        let found = ids
            .iter()
            .filter_map(|id| Some((*id, tables.executions.get(id)?)));
        Ok(found
            .filter(|(_, it)| !matches!(it.queue, Queue::Ended(_)))
            .map(|(id, it)| it.load(id))
            .collect())
    }

    async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        let mut tables = self.lock();
        for message in messages {
            tables.put(message);
        }
        Ok(())
    }

    async fn inbox_fetch(&self, ids: &[ExecutionId]) -> Result<Vec<InboxMessage>, Error> {
        let tables = self.lock();
        let found = ids.iter().filter_map(|id| tables.executions.get(id));
        Ok(found.flat_map(|it| it.inbox.iter().cloned()).collect())
    }

    async fn subscription_match(
        &self,
        tenant: TenantId,
        event_type: &str,
    ) -> Result<Vec<Subscription>, Error> {
        let tables = self.lock();
        let own = tables.executions.values().filter(|it| it.tenant == tenant);
        Ok(own
            .flat_map(|it| it.subscriptions.values())
            .filter(|it| {
                it.event_type
                    .as_deref()
                    .is_none_or(|wanted| wanted == event_type)
            })
            .cloned()
            .collect())
    }

    async fn execution_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRow>, Error> {
        let tables = self.lock();
        let own = tables
            .executions
            .get(&id)
            .filter(|it| it.tenant == scope.tenant());
        Ok(own.map(|it| it.row(id, true)))
    }

    async fn execution_list(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error> {
        let tables = self.lock();
        let mut rows: Vec<ExecutionRow> = tables
            .executions
            .iter()
            .filter(|(_, it)| it.tenant == scope.tenant())
            .map(|(id, it)| it.row(*id, false))
            .filter(|row| selected(row, query))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.started_at, row.id)));
        Ok(page(rows.into_iter(), query.limit))
    }

    async fn execution_recent(
        &self,
        scope: &Scope,
        workflows: &[WorkflowRef],
        each_max: u32,
    ) -> Result<Vec<ExecutionRow>, Error> {
        let mut found = Vec::new();
        for workflow in workflows {
            let query = ExecutionQuery {
                workflow: Some((workflow.namespace.clone(), workflow.name.clone())),
                limit: each_max,
                ..ExecutionQuery::default()
            };
            found.extend(self.execution_list(scope, &query).await?.items);
        }
        Ok(found)
    }

    async fn journal_list(
        &self,
        scope: &Scope,
        id: ExecutionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let tables = self.lock();
        let own = tables
            .executions
            .get(&id)
            .filter(|it| it.tenant == scope.tenant());
        let rows = own.map_or(&[][..], |it| &it.journal);
        let later = rows.iter().filter(|row| after < row.sequence);
        Ok(later.take(limit as usize).cloned().collect())
    }

    async fn wake_send(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn wake_wait(&self) -> Result<(), Error> {
        std::future::pending().await
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Tables {
    /// The versions of a workflow that are not deleted, highest first.
    fn versions(&self, scope: &Scope, namespace: &str, name: &str) -> Vec<&DefinitionRow> {
        let mut rows: Vec<&DefinitionRow> = self
            .definitions
            .iter()
            .filter(|((tenant, its_namespace, its_name, _), it)| {
                *tenant == scope.tenant()
                    && its_namespace == namespace
                    && its_name == name
                    && !it.deleted
            })
            .map(|(_, it)| &it.row)
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(Version::parse(&row.workflow.version).ok()));
        rows
    }

    fn check(&self, fence: &Fence) -> Result<(), Error> {
        match self.workers.get(&fence.worker) {
            Some(worker) if worker.epoch == fence.epoch => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Fenced,
                "the worker has lost its lease",
            )),
        }
    }

    /// Ends a worker's life and gives its epoch; what it owned becomes due.
    fn retire(&mut self, id: WorkerId, now: Timestamp) -> i64 {
        let epoch = self.workers.remove(&id).map_or(0, |worker| worker.epoch);
        for execution in self.executions.values_mut() {
            if matches!(execution.queue, Queue::Owned { worker } if worker == id) {
                execution.queue = Queue::Due { at: now };
            }
        }
        epoch
    }

    fn claim(&mut self, worker: WorkerId, request: ClaimRequest) -> Vec<Claim> {
        let mut due: Vec<(std::cmp::Reverse<i32>, Timestamp, ExecutionId)> = self
            .executions
            .iter()
            .filter_map(|(id, it)| {
                let at = match it.queue {
                    Queue::Due { at } => at,
                    Queue::Parked { due: Some(due), .. } => due,
                    _ => return None,
                };
                (at <= request.now).then_some((std::cmp::Reverse(it.start.priority), at, *id))
            })
            .collect();
        due.sort_unstable();
        due.truncate(request.limit as usize);
        let mut claims = Vec::with_capacity(due.len());
        for (_, _, id) in due {
            if let Some(execution) = self.executions.get_mut(&id) {
                execution.queue = Queue::Owned { worker };
                claims.push(Claim {
                    tenant: execution.tenant,
                    execution: id,
                });
            }
        }
        claims
    }

    fn append(&mut self, fence: Option<&Fence>, entry: &Entry) -> Outcome {
        if let Some(start) = &entry.start {
            if self.executions.contains_key(&entry.execution) {
                return Outcome::AlreadyRecorded;
            }
            if let Some(key) = &start.idempotency_key {
                let key = (entry.tenant, key.clone());
                if let Some(first) = self.keys.get(&key) {
                    return Outcome::Exists(*first);
                }
                self.keys.insert(key, entry.execution);
            }
            self.executions
                .insert(entry.execution, Execution::new(entry.tenant, start.clone()));
        }
        let Some(execution) = self.executions.get_mut(&entry.execution) else {
            return Outcome::Refused("there is no such execution".to_owned());
        };
        let last = execution.journal.last().map_or(0, |row| row.sequence);
        if entry
            .events
            .first()
            .is_some_and(|first| first.sequence <= last)
            || matches!(execution.queue, Queue::Ended(_))
        {
            return Outcome::AlreadyRecorded;
        }
        execution.apply(fence, entry);
        for message in &entry.messages {
            self.put(message);
        }
        Outcome::Recorded
    }

    fn put(&mut self, message: &InboxMessage) {
        let Some(execution) = self.executions.get_mut(&message.execution) else {
            return;
        };
        if matches!(execution.queue, Queue::Ended(_)) || !execution.known.insert(message.id) {
            return;
        }
        execution.inbox.push(message.clone());
        if matches!(execution.queue, Queue::Parked { .. }) {
            execution.queue = Queue::Due { at: message.at };
        }
    }
}

impl Execution {
    fn new(tenant: TenantId, start: Start) -> Self {
        let queue = Queue::Due { at: start.at };
        Self {
            tenant,
            start,
            journal: Vec::new(),
            snapshot: None,
            subscriptions: BTreeMap::new(),
            inbox: Vec::new(),
            known: BTreeSet::new(),
            queue,
        }
    }

    fn apply(&mut self, fence: Option<&Fence>, entry: &Entry) {
        self.journal.extend(entry.events.iter().cloned());
        if let Some(snapshot) = &entry.snapshot {
            self.snapshot = Some(snapshot.clone());
        }
        for subscription in &entry.subscribe {
            let key = (subscription.effect, subscription.filter);
            self.subscriptions.insert(key, subscription.clone());
        }
        self.subscriptions
            .retain(|(effect, _), _| !entry.unsubscribe.contains(effect));
        self.inbox
            .retain(|message| !entry.consumed.contains(&message.id));
        let now = entry.events.last().map_or(Timestamp::MIN, |event| event.at);
        self.queue = match (&entry.next, fence) {
            (Next::Owned, Some(fence)) => Queue::Owned {
                worker: fence.worker,
            },
            (Next::Owned | Next::Queued, _) => Queue::Due { at: now },
            (Next::Parked { .. }, _) if !self.inbox.is_empty() => Queue::Due { at: now },
            (Next::Parked { due, waiting_for }, _) => Queue::Parked {
                due: *due,
                waiting_for: waiting_for.clone(),
            },
            (Next::Ended(ended), _) => {
                self.snapshot = None;
                self.subscriptions.clear();
                self.inbox.clear();
                Queue::Ended(ended.clone())
            }
        };
    }

    fn load(&self, id: ExecutionId) -> Loaded {
        let from = self
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.sequence);
        Loaded {
            tenant: self.tenant,
            execution: id,
            workflow: self.start.workflow.clone(),
            program: self.start.program,
            parent: self.start.parent,
            started_at: self.start.at,
            snapshot: self.snapshot.clone(),
            tail: self
                .journal
                .iter()
                .filter(|row| from < row.sequence)
                .cloned()
                .collect(),
            inbox: self.inbox.clone(),
        }
    }

    fn row(&self, id: ExecutionId, with_payloads: bool) -> ExecutionRow {
        let (status, waiting_for, ended) = match &self.queue {
            Queue::Due { .. } if self.journal.len() < 2 => (Status::Pending, None, None),
            Queue::Due { .. } | Queue::Owned { .. } => (Status::Running, None, None),
            Queue::Parked { waiting_for, .. } => (Status::Waiting, waiting_for.clone(), None),
            Queue::Ended(ended) => (ended.status, None, Some(ended)),
        };
        let payloads = ended.filter(|_| with_payloads);
        ExecutionRow {
            id,
            workflow: self.start.workflow.clone(),
            program: self.start.program,
            status,
            started_at: self.start.at,
            ended_at: ended.map(|ended| ended.at),
            waiting_for,
            input: with_payloads.then(|| self.start.input.clone()),
            output: payloads.and_then(|ended| ended.output.clone()),
            error: payloads.and_then(|ended| ended.error.clone()),
            parent: self.start.parent.map(|parent| parent.execution),
            attributes: self.start.attributes.clone(),
        }
    }
}

fn mentions(row: &DefinitionSummary, text: &str) -> bool {
    let text = text.to_lowercase();
    let title = row.title.as_deref().unwrap_or_default();
    [
        row.workflow.namespace.as_str(),
        row.workflow.name.as_str(),
        title,
    ]
    .iter()
    .any(|place| place.to_lowercase().contains(&text))
}

fn selected(row: &ExecutionRow, query: &ExecutionQuery) -> bool {
    let workflow = &row.workflow;
    query
        .workflow
        .as_ref()
        .is_none_or(|(namespace, name)| *namespace == workflow.namespace && *name == workflow.name)
        && query.status.is_none_or(|status| status == row.status)
        && query
            .started_after
            .is_none_or(|after| after < row.started_at)
        && query
            .attributes
            .iter()
            .all(|(name, value)| row.attributes.get(name) == Some(value))
        && query
            .before
            .is_none_or(|before| (row.started_at, row.id) < before)
}

fn page<T>(rows: impl Iterator<Item = T>, limit: u32) -> Page<T> {
    let mut items: Vec<T> = rows.take(limit as usize + 1).collect();
    let more = (limit as usize) < items.len();
    items.truncate(limit as usize);
    Page { items, more }
}
