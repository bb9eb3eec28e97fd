//! A process that can crash and freeze, and a store whose calls can go wrong.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use crate::clock::{Clock, ManualClock};
use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::{
    Claim, ClaimRequest, DefinitionPut, DefinitionQuery, DefinitionRow, DefinitionSummary,
    DefinitionVersion, Entry, EventRow, ExecutionQuery, ExecutionRow, Fence, InboxMessage, Loaded,
    Outcome, Page, Store, Subscription,
};
use crate::{Error, ErrorKind, ExecutionId, Scope, TenantId, WorkerId};

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    /// It stands still, as after SIGSTOP.
    Frozen,
    /// It is gone, as after SIGKILL: what it was about to do never happens.
    Dead,
}

/// What everything a process does to the world passes through.
#[derive(Debug)]
pub(super) struct Gate {
    health: watch::Sender<Health>,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            health: watch::Sender::new(Health::Well),
        })
    }

    pub(super) fn health(&self) -> Health {
        *self.health.borrow()
    }

    /// Changes the process's health; the dead stay dead.
    pub(super) fn set(&self, health: Health) {
        self.health.send_if_modified(|now| {
            let changed = *now != Health::Dead && *now != health;
            if changed {
                *now = health;
            }
            changed
        });
    }

    /// Returns when the process is well; never, when it is dead.
    pub(super) async fn pass(&self) {
        let mut health = self.health.subscribe();
        // The sender is this gate's own, so it is there.
        drop(health.wait_for(|health| *health == Health::Well).await);
    }

    /// Returns when the process is dead.
    pub(super) async fn died(&self) {
        let mut health = self.health.subscribe();
        drop(health.wait_for(|health| *health == Health::Dead).await);
    }

    /// Awaits something done in the process; nothing, when it dies first.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.died() => None,
            result = work => Some(result),
        }
    }
}

/// A process's clock: it may be wrong, and stands still with the process.
#[derive(Debug)]
pub(super) struct ProcessClock {
    pub(super) real: Arc<ManualClock>,
    pub(super) gate: Arc<Gate>,
    pub(super) ahead: watch::Sender<SignedDuration>,
}

impl ProcessClock {
    pub(super) fn new(real: Arc<ManualClock>, gate: Arc<Gate>) -> Self {
        Self {
            real,
            gate,
            ahead: watch::Sender::new(SignedDuration::ZERO),
        }
    }
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.real.now() + *self.ahead.borrow()
    }

    async fn sleep_until(&self, at: Timestamp) {
        let mut ahead = self.ahead.subscribe();
        loop {
            self.gate.pass().await;
            let really = at - *ahead.borrow_and_update();
            if really <= self.real.now() {
                return;
            }
            tokio::select! {
                biased;
                _ = ahead.changed() => {}
                () = self.real.sleep_until(really) => {}
            }
        }
    }
}

/// What becomes of one call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Well,
    /// It fails and has done nothing.
    Refused,
    /// It has done its work, and the answer is lost.
    AnswerLost,
    /// It is sent twice, as after a reconnection.
    Twice,
    /// The process dies.
    Crash(CrashPoint),
}

/// When a process dies, seen from one call of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CrashPoint {
    BeforeAppend,
    /// The database had the request and rolls it back.
    BeforeCommit,
    BeforeAcknowledgement,
    AfterAcknowledgement,
}

/// What a [`FaultyStore`] asks and tells.
pub(super) trait Weather: Send + Sync + fmt::Debug + 'static {
    /// Decides about a call. `appends` says that it is a journal append.
    fn fate(&self, appends: bool) -> Fate;

    /// How long the way to the database takes now.
    fn latency(&self) -> SignedDuration;

    /// Whether the word to other processes is lost.
    fn loses_word(&self) -> bool;

    /// Hears of a batch that is committed.
    fn committed(&self, fence: Option<&Fence>, entries: &[Entry], outcomes: &[Outcome]);
}

/// One process's way to the store.
#[derive(Debug)]
pub(super) struct FaultyStore {
    pub(super) store: Arc<dyn Store>,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) weather: Arc<dyn Weather>,
}

impl FaultyStore {
    /// Makes a call that only reads.
    async fn read<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.travel().await;
        let result = match self.weather.fate(false) {
            Fate::Crash(_) => self.die().await,
            Fate::Refused | Fate::AnswerLost => Err(unavailable()),
            Fate::Well | Fate::Twice => call.await,
        };
        self.travel().await;
        result
    }

    /// Makes a call that writes; it can be made twice.
    async fn write<T, F>(&self, appends: bool, call: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.travel().await;
        let fate = self.weather.fate(appends);
        match fate {
            Fate::Crash(CrashPoint::BeforeAppend | CrashPoint::BeforeCommit) => self.die().await,
            Fate::Refused => return Err(unavailable()),
            _ => {}
        }
        let result = call().await;
        match fate {
            Fate::Crash(CrashPoint::AfterAcknowledgement) => {
                // What follows in the process never leaves it.
                self.gate.set(Health::Dead);
                return result;
            }
            Fate::Crash(_) => self.die().await,
            Fate::AnswerLost => {
                self.travel().await;
                return Err(unavailable());
            }
            Fate::Twice => drop(call().await),
            Fate::Well | Fate::Refused => {}
        }
        self.travel().await;
        result
    }

    async fn travel(&self) {
        self.gate.pass().await;
        let latency = self.weather.latency();
        if SignedDuration::ZERO < latency {
            self.clock.sleep_until(self.clock.now() + latency).await;
            self.gate.pass().await;
        }
    }

    async fn die<T>(&self) -> T {
        self.gate.set(Health::Dead);
        std::future::pending().await
    }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection is lost")
}

#[async_trait]
impl Store for FaultyStore {
    async fn migrate(&self) -> Result<(), Error> {
        self.store.migrate().await
    }

    async fn definition_put(
        &self,
        scope: &Scope,
        row: DefinitionRow,
    ) -> Result<DefinitionPut, Error> {
        let put = || self.store.definition_put(scope, row.clone());
        self.write(false, put).await
    }

    async fn definition_fetch(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<DefinitionRow>, Error> {
        self.read(self.store.definition_fetch(scope, namespace, name, version))
            .await
    }

    async fn definition_fetch_pinned(
        &self,
        tenant: TenantId,
        hash: ProgramHash,
    ) -> Result<Option<DefinitionRow>, Error> {
        self.read(self.store.definition_fetch_pinned(tenant, hash))
            .await
    }

    async fn definition_list(
        &self,
        scope: &Scope,
        query: &DefinitionQuery,
    ) -> Result<Page<DefinitionSummary>, Error> {
        self.read(self.store.definition_list(scope, query)).await
    }

    async fn definition_versions(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<DefinitionVersion>, Error> {
        self.read(self.store.definition_versions(scope, namespace, name))
            .await
    }

    async fn definition_delete(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Error> {
        self.write(false, || {
            self.store.definition_delete(scope, namespace, name)
        })
        .await
    }

    async fn worker_register(
        &self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Fence, Error> {
        let register = || self.store.worker_register(name, id, now, lease);
        // A life that is registered twice has the later epoch.
        self.travel().await;
        match self.weather.fate(false) {
            Fate::Refused | Fate::AnswerLost => Err(unavailable()),
            Fate::Crash(_) => self.die().await,
            Fate::Well | Fate::Twice => register().await,
        }
    }

    async fn worker_beat(&self, fence: &Fence, request: ClaimRequest) -> Result<Vec<Claim>, Error> {
        self.travel().await;
        match self.weather.fate(false) {
            Fate::Refused => Err(unavailable()),
            Fate::Crash(CrashPoint::BeforeAppend | CrashPoint::BeforeCommit) => self.die().await,
            fate => {
                let claims = self.store.worker_beat(fence, request).await;
                match fate {
                    Fate::Crash(_) => self.die().await,
                    Fate::AnswerLost => Err(unavailable()),
                    _ => {
                        self.travel().await;
                        claims
                    }
                }
            }
        }
    }

    async fn worker_claims(&self, fence: &Fence) -> Result<Vec<Claim>, Error> {
        self.read(self.store.worker_claims(fence)).await
    }

    async fn worker_release(&self, fence: &Fence) -> Result<(), Error> {
        self.write(false, || self.store.worker_release(fence)).await
    }

    async fn journal_append(
        &self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<Vec<Outcome>, Error> {
        let append = || async {
            let outcomes = self.store.journal_append(fence, entries).await?;
            self.weather.committed(fence, entries, &outcomes);
            Ok(outcomes)
        };
        self.write(true, append).await
    }

    async fn execution_load(&self, ids: &[ExecutionId]) -> Result<Vec<Loaded>, Error> {
        self.read(self.store.execution_load(ids)).await
    }

    async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        self.write(false, || self.store.inbox_put(messages)).await
    }

    async fn inbox_fetch(&self, ids: &[ExecutionId]) -> Result<Vec<InboxMessage>, Error> {
        self.read(self.store.inbox_fetch(ids)).await
    }

    async fn subscription_match(
        &self,
        tenant: TenantId,
        event_type: &str,
    ) -> Result<Vec<Subscription>, Error> {
        self.read(self.store.subscription_match(tenant, event_type))
            .await
    }

    async fn execution_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRow>, Error> {
        self.read(self.store.execution_fetch(scope, id)).await
    }

    async fn execution_list(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error> {
        self.read(self.store.execution_list(scope, query)).await
    }

    async fn execution_recent(
        &self,
        scope: &Scope,
        workflows: &[WorkflowRef],
        each_max: u32,
    ) -> Result<Vec<ExecutionRow>, Error> {
        self.read(self.store.execution_recent(scope, workflows, each_max))
            .await
    }

    async fn journal_list(
        &self,
        scope: &Scope,
        id: ExecutionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        self.read(self.store.journal_list(scope, id, after, limit))
            .await
    }

    async fn wake_send(&self) -> Result<(), Error> {
        self.gate.pass().await;
        if self.weather.loses_word() {
            return Ok(());
        }
        self.store.wake_send().await
    }

    async fn wake_wait(&self) -> Result<(), Error> {
        self.store.wake_wait().await?;
        self.gate.pass().await;
        Ok(())
    }

    async fn ping(&self) -> Result<(), Error> {
        self.gate.pass().await;
        self.store.ping().await
    }
}
