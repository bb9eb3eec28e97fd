//! What all parts of a running engine share, and one life of its worker.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, FeedItem};
use super::journal::Journal;
use super::options::{Options, Ports};
use super::programs::Programs;
use super::watchdog::Watchdog;
use crate::routines::Routines;
use crate::store::{Claim, Entry, ExecutionRow, Fence, InboxMessage, Next, ProgressRow};
use crate::{Actor, ExecutionId, Scope, TenantId};

/// What all parts of a running engine share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) ports: Ports,
    pub(super) programs: Programs,
    pub(super) feed: Feed,
    pub(super) routines: Routines,
    pub(super) watchdog: Arc<Watchdog>,
    /// Rung when something may have become due.
    pub(super) wake: Notify,
    /// Whether the worker found more than it had room for, so that an end makes room.
    pub(super) behind: AtomicBool,
    /// For starts that no worker of this process takes on.
    pub(super) unfenced: Journal,
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
    active: Mutex<HashMap<ExecutionId, Inbox>>,
}

/// The way to an execution in memory.
type Inbox = (TenantId, mpsc::UnboundedSender<InboxMessage>);

impl Core {
    pub(super) fn new(
        options: Options,
        ports: Ports,
        unfenced: Journal,
        routines: Routines,
    ) -> Self {
        let programs = Programs::new(Arc::clone(&ports.store), ports.functions.clone(), &options);
        Self {
            options,
            ports,
            programs,
            feed: Feed::new(),
            routines,
            watchdog: Watchdog::start(),
            wake: Notify::new(),
            behind: AtomicBool::new(false),
            unfenced,
            life: RwLock::new(None),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.ports.clock.now()
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

    /// Spreads the word about a start, a parking or an end.
    pub(super) fn changed(&self, tenant: TenantId, row: impl FnOnce() -> ExecutionRow) {
        if self.feed.is_read() {
            self.feed
                .changed(tenant, FeedItem::Changed(Arc::new(row())));
        }
    }

    /// Spreads what a function says of itself.
    pub(super) fn progressed(&self, row: ProgressRow) {
        if self.feed.is_read() {
            self.feed
                .changed(row.tenant, FeedItem::Progressed(Arc::new(row)));
        }
    }
}

impl Life {
    pub(super) fn new(
        fence: Fence,
        journal: Journal,
        lost: CancellationToken,
        draining: CancellationToken,
        in_flight_max: usize,
    ) -> Self {
        Self {
            fence,
            journal,
            lost,
            draining,
            permits: Arc::new(Semaphore::new(in_flight_max)),
            active: Mutex::default(),
        }
    }

    /// Gives the scope in which the worker acts for a tenant: the engine's one place
    /// that builds one.
    pub(super) fn scope(&self, tenant: TenantId) -> Scope {
        Scope::new(tenant, Actor::Engine(self.fence.worker))
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

    /// Tells whether this tenant's execution is in memory here.
    pub(super) fn has(&self, tenant: TenantId, execution: ExecutionId) -> bool {
        self.lock()
            .get(&execution)
            .is_some_and(|(owner, _)| *owner == tenant)
    }

    pub(super) fn discharge(&self, execution: ExecutionId) {
        self.lock().remove(&execution);
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
            consumed: Vec::new(),
            messages: Vec::new(),
            next: Next::Parked {
                due: Some(due),
                waiting_for,
            },
        };
        if let Err(error) = self.journal.append(entry).await {
            tracing::warn!(error = %error, execution = %claim.execution, "not put back");
        }
    }

    pub(super) fn active(&self) -> Vec<ExecutionId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, Inbox>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
