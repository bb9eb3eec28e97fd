//! What all parts of a running engine share, and one life of its worker.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::feed::Feed;
use super::figures::Meter;
use super::heartbeat::Heartbeats;
use super::journal::Journal;
use super::options::{Options, Ports};
use super::programs::Programs;
use super::progress::Identity;
use super::schedules::{Beginning, Bell};
use crate::routines::Routines;
use crate::store::{Claim, Entry, ExecutionLabel, ExecutionRow, Fence, InboxMessage, Next};
use crate::{Actor, ExecutionId, Scope, TenantId};

/// Executions of a tenant with which it counts as small.
const FEW: usize = 16;

/// The part of the permits that is left for what is claimed: one in so many.
const SPARE_PART: usize = 4;

/// What all parts of a running engine share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) ports: Ports,
    pub(super) programs: Programs,
    pub(super) feed: Feed,
    pub(super) routines: Routines,
    /// Rung when something may have become due.
    pub(super) wake: Notify,
    /// Rung when something about schedules changed.
    pub(super) bell: Bell,
    /// Somebody decided how long executions are kept.
    pub(super) retention_set: Notify,
    /// Starts of schedules' ticks that are under way.
    pub(super) beginning: Beginning,
    /// What functions under way here say of themselves.
    pub(super) heartbeats: Heartbeats,
    /// Whether the worker found more than it had room for, so that an end makes room.
    pub(super) behind: AtomicBool,
    /// Rung when a bulk operation was started.
    pub(super) bulk: Notify,
    /// For starts that no worker of this process takes on.
    pub(super) unfenced: Journal,
    /// Bounds the starts from outside that are under way.
    pub(super) starting: Semaphore,
    pub(super) meter: Arc<Meter>,
    life: RwLock<Option<Arc<Life>>>,
}

/// The worker between registration and the loss or return of its lease.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) fence: Fence,
    pub(super) journal: Journal,
    /// Fires when the lease is lost: nothing more may be done.
    pub(super) lost: CancellationToken,
    /// Fires when the engine stops: effects under way may end, none begins.
    pub(super) draining: CancellationToken,
    permits: Arc<Semaphore>,
    pub(super) adrift: Adrift,
    /// Executions whose start is being committed for this life.
    starting: Mutex<BTreeSet<ExecutionId>>,
    in_flight_max: usize,
    active: Mutex<HashMap<ExecutionId, Inbox>>,
}

/// Whether the worker may own executions that it does not know of: an answer of the
/// store was lost, nobody waited for it any more, or something could not be put back.
/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Adrift(Arc<AtomicBool>);

impl Adrift {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Tells whether it was set since the last look.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// An execution whose start is being committed. Dropped before it
/// [arrived](Self::arrived), as when whoever started it is given up, it may be the
/// worker's without being in memory.
#[derive(Debug)]
pub(super) struct Starting {
    life: Arc<Life>,
    execution: ExecutionId,
    arrived: bool,
}

impl Starting {
    /// Says that the execution is in memory.
    pub(super) fn arrived(mut self) {
        self.arrived = true;
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.life.starting().remove(&self.execution);
        if !self.arrived {
            self.life.adrift.set();
        }
    }
}

/// The way to an execution in memory.
type Inbox = (TenantId, mpsc::UnboundedSender<InboxMessage>);

impl Core {
    pub(super) fn new(
        options: Options,
        ports: Ports,
        unfenced: Journal,
        routines: Routines,
        meter: Arc<Meter>,
    ) -> Self {
        let starting = Semaphore::new(options.starts_max);
        let programs = Programs::new(&ports, &options);
        Self {
            options,
            ports,
            programs,
            feed: Feed::new(),
            routines,
            wake: Notify::new(),
            bell: Bell::default(),
            retention_set: Notify::new(),
            beginning: Beginning::default(),
            heartbeats: Heartbeats::default(),
            behind: AtomicBool::new(false),
            bulk: Notify::new(),
            unfenced,
            starting,
            meter,
            life: RwLock::new(None),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        let now = self.ports.clock.now();
        // As exact as databases keep it: an execution that is rebuilt from its journal
        // sees the same times again.
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    pub(super) fn life(&self) -> Option<Arc<Life>> {
        self.life
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_life(&self, life: Option<Arc<Life>>) {
        *self.life.write().unwrap_or_else(PoisonError::into_inner) = life;
    }

    /// Tells whoever may own the receivers that messages were put.
    pub(super) async fn announce(&self, messages: &[InboxMessage]) {
        if messages.is_empty() {
            return;
        }
        let life = self.life();
        let mut all_here = true;
        for message in messages {
            let here = life.as_ref().is_some_and(|life| life.deliver(message));
            all_here &= here;
        }
        self.wake.notify_one();
        if !all_here && let Err(error) = self.ports.store.wake_send().await {
            // Others look by themselves within their polling time.
            tracing::debug!(error = %error, "other processes were not woken");
        }
    }

    /// Tells workers that something waits in the queue.
    pub(super) async fn queued(&self) {
        self.wake.notify_one();
        if self.life().is_none()
            && let Err(error) = self.ports.store.wake_send().await
        {
            tracing::debug!(error = %error, "other processes were not woken");
        }
    }

    /// Lets an execution's row show the version that it has by now. A failure is mended
    /// when the execution is loaded the next time.
    pub(super) async fn label(&self, identity: &Identity) {
        let program = &identity.program;
        let label = ExecutionLabel {
            tenant: identity.tenant,
            execution: identity.execution,
            workflow: program.workflow().clone(),
            program: program.hash(),
        };
        if let Err(error) = self.ports.store.execution_label(&label).await {
            let execution = identity.execution;
            tracing::warn!(error = %error, %execution, "an execution shows its earlier version");
        }
    }

    /// Spreads the word about a start, a parking or an end.
    pub(super) fn changed(&self, tenant: TenantId, row: impl FnOnce() -> ExecutionRow) {
        if self.feed.is_read() {
            self.feed.changed(tenant, row());
        }
    }
}

impl Life {
    pub(super) fn new(
        fence: Fence,
        (journal, adrift): (Journal, Adrift),
        lost: CancellationToken,
        draining: CancellationToken,
        in_flight_max: usize,
    ) -> Self {
        Self {
            fence,
            journal,
            adrift,
            lost,
            draining,
            permits: Arc::new(Semaphore::new(in_flight_max)),
            starting: Mutex::default(),
            in_flight_max,
            active: Mutex::default(),
        }
    }

    /// Gives the scope in which the worker acts for a tenant: the engine's one place
    /// that builds one.
    pub(super) fn scope(&self, tenant: TenantId) -> Scope {
        Self::scope_of(tenant, Actor::Engine(self.fence.worker))
    }

    /// Gives the scope in which the worker goes on with what somebody asked for.
    pub(super) fn scope_of(tenant: TenantId, by: Actor) -> Scope {
        Scope::new(tenant, by)
    }

    pub(super) fn free(&self) -> usize {
        if self.is_over() {
            0
        } else {
            self.permits.available_permits()
        }
    }

    pub(super) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_over() {
            return None;
        }
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Tells whether a tenant may take a permit although others wait for room: it has
    /// few executions at work here, and enough permits are left for what is claimed.
    pub(super) fn is_small(&self, tenant: TenantId) -> bool {
        let spare = self.in_flight_max / SPARE_PART;
        if self.free() <= spare {
            return false;
        }
        let active = self.lock();
        let own = active.values().filter(|(owner, _)| *owner == tenant);
        own.take(FEW).count() < FEW
    }

    pub(super) fn is_over(&self) -> bool {
        self.lost.is_cancelled() || self.draining.is_cancelled()
    }

    /// Opens the execution's inbox in this process.
    pub(super) fn enlist(
        &self,
        tenant: TenantId,
        execution: ExecutionId,
    ) -> mpsc::UnboundedReceiver<InboxMessage> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().insert(execution, (tenant, sender));
        receiver
    }

    /// Notes that an execution is about to begin here, until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>, execution: ExecutionId) -> Starting {
        self.starting().insert(execution);
        Starting {
            life: Arc::clone(self),
            execution,
            arrived: false,
        }
    }

    /// Gives the executions that are in memory here or about to be.
    pub(super) fn known(&self) -> BTreeSet<ExecutionId> {
        // In this order: a start is in memory before it is not about to be any more.
        let mut known = self.starting().clone();
        known.extend(self.lock().keys());
        known
    }

    /// Tells whether this tenant's execution is in memory here.
    pub(super) fn has(&self, tenant: TenantId, execution: ExecutionId) -> bool {
        self.lock()
            .get(&execution)
            .is_some_and(|(owner, _)| *owner == tenant)
    }

    /// Closes the execution's inbox, unless it is in memory again and this is another.
    pub(super) fn discharge(
        &self,
        execution: ExecutionId,
        inbox: &mut mpsc::UnboundedReceiver<InboxMessage>,
    ) {
        inbox.close();
        let mut active = self.lock();
        if active
            .get(&execution)
            .is_some_and(|(_, sender)| sender.is_closed())
        {
            active.remove(&execution);
        }
    }

    /// Hands a message to the execution if it is in memory here.
    pub(super) fn deliver(&self, message: &InboxMessage) -> bool {
        self.lock()
            .get(&message.execution)
            .is_some_and(|(_, sender)| sender.send(message.clone()).is_ok())
    }

    /// Puts an execution of this worker back into the queue, to be due at the given time.
    pub(super) async fn put_back(&self, claim: Claim, due: Timestamp, waiting_for: Option<String>) {
        let entry = Entry {
            tenant: claim.tenant,
            execution: claim.execution,
            start: None,
            events: Vec::new(),
            snapshot: None,
            subscribe: Vec::new(),
            unsubscribe: Vec::new(),
            human_tasks: Vec::new(),
            consumed: Vec::new(),
            messages: Vec::new(),
            next: Next::Parked {
                due: Some(due),
                waiting_for,
            },
        };
        if let Err(error) = self.journal.append(entry).await {
            self.adrift.set();
            tracing::warn!(error = %error, execution = %claim.execution, "not put back");
        }
    }

    /// Gives the executions in memory here, in the order of their ids, so that a
    /// simulation can be repeated.
    pub(super) fn active(&self) -> Vec<ExecutionId> {
        let mut ids: Vec<ExecutionId> = self.lock().keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    fn starting(&self) -> MutexGuard<'_, BTreeSet<ExecutionId>> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, Inbox>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
