//! Word within the process of what was committed: for followers of one execution
//! and for the tenant's feed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, stream};
use jiff::SignedDuration;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::handle::Handle;
use crate::store::{ExecutionRow, Next};
use crate::{ExecutionId, Scope, TenantId};

/// Changes that a slow reader of the feed may fall behind before it is told to
/// look again.
const FEED_LENGTH: usize = 1_024;

/// The same for lifecycle events, of which there are several for each change.
const LIFECYCLE_LENGTH: usize = 8_192;

/// How often a reader of the feed is told to look again where other processes may have
/// changed something.
const FEED_LOOK: SignedDuration = SignedDuration::from_secs(5);

/// One word of a tenant's feed.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// An execution started, parked or ended; without input, output and error.
    Changed(Arc<ExecutionRow>),
    /// Some changes were missed, or may have been: read the list again.
    Lagged,
}

/// How far an execution has come in this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Growth {
    /// Whether it has ended.
    pub(super) ended: bool,
    /// The whole execution at its end, where this process knows it without asking the
    /// store.
    pub(super) row: Option<Arc<ExecutionRow>>,
}

/// Spreads the word.
#[derive(Debug)]
pub(super) struct Feed {
    /// Who wants to hear of each growth.
    followed: Followers,
    /// Who wants to hear of the end only, and is not woken before.
    awaited: Followers,
    changes: broadcast::Sender<(TenantId, Arc<ExecutionRow>)>,
    lifecycle: broadcast::Sender<(TenantId, Arc<Value>)>,
}

#[derive(Debug, Default)]
struct Followers(Mutex<HashMap<ExecutionId, watch::Sender<Growth>>>);

impl Followers {
    fn follow(&self, execution: ExecutionId) -> watch::Receiver<Growth> {
        let mut followed = self.lock();
        // Ended ones have gone; this finds those that nobody follows any more.
        if followed.len().is_power_of_two() {
            followed.retain(|_, sender| sender.receiver_count() != 0);
        }
        followed
            .entry(execution)
            .or_insert_with(|| watch::channel(Growth::default()).0)
            .subscribe()
    }

    /// Asks how far it has come only if somebody follows.
    fn tell(&self, execution: ExecutionId, growth: impl FnOnce() -> Growth) {
        let mut followed = self.lock();
        let Some(sender) = followed.get(&execution) else {
            return;
        };
        let growth = growth();
        let ended = growth.ended;
        if sender.send(growth).is_err() || ended {
            followed.remove(&execution);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, watch::Sender<Growth>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    pub(super) fn new() -> Self {
        let (changes, _) = broadcast::channel(FEED_LENGTH);
        let (lifecycle, _) = broadcast::channel(LIFECYCLE_LENGTH);
        Self {
            followed: Followers::default(),
            awaited: Followers::default(),
            changes,
            lifecycle,
        }
    }

    /// Says that an execution's journal grew, and what became of the execution; asks how
    /// far it has come only if somebody follows.
    pub(super) fn grew(&self, execution: ExecutionId, next: &Next, growth: impl Fn() -> Growth) {
        self.followed.tell(execution, &growth);
        if matches!(next, Next::Ended(_)) {
            self.awaited.tell(execution, growth);
        }
    }

    /// Gives a receiver that sees each growth of an execution's journal.
    pub(super) fn follow(&self, execution: ExecutionId) -> watch::Receiver<Growth> {
        self.followed.follow(execution)
    }

    /// Gives a receiver that sees the end of an execution.
    pub(super) fn follow_end(&self, execution: ExecutionId) -> watch::Receiver<Growth> {
        self.awaited.follow(execution)
    }

    /// Tells whether anybody reads the tenants' feeds.
    pub(super) fn is_read(&self) -> bool {
        self.changes.receiver_count() != 0
    }

    pub(super) fn lifecycle_is_read(&self) -> bool {
        self.lifecycle.receiver_count() != 0
    }

    pub(super) fn tell_lifecycle(&self, tenant: TenantId, event: Arc<Value>) {
        // Nobody reading is no failure.
        drop(self.lifecycle.send((tenant, event)));
    }

    pub(super) fn lifecycle(&self) -> broadcast::Receiver<(TenantId, Arc<Value>)> {
        self.lifecycle.subscribe()
    }

    pub(super) fn changed(&self, tenant: TenantId, row: ExecutionRow) {
        // Nobody reading is no failure.
        drop(self.changes.send((tenant, Arc::new(row))));
    }

    pub(super) fn changes(&self) -> broadcast::Receiver<(TenantId, Arc<ExecutionRow>)> {
        self.changes.subscribe()
    }
}

impl Handle {
    /// Gives the tenant's changes from now on: starts, parkings and ends. What other
    /// processes on the same database do is not told one by one: then
    /// [`Lagged`](FeedItem::Lagged) comes every five seconds.
    pub fn feed(&self, scope: &Scope) -> impl Stream<Item = FeedItem> + Send + use<> {
        let tenant = scope.tenant();
        let changes = self.core.feed.changes();
        let core = Arc::clone(&self.core);
        let look = core.now() + FEED_LOOK;
        stream::unfold(
            (core, changes, look),
            move |(core, mut changes, look)| async move {
                loop {
                    let received = tokio::select! {
                        biased;
                        received = changes.recv() => received,
                        () = core.ports.clock.sleep_until(look), if core.ports.store.is_shared() => {
                            let next = core.now() + FEED_LOOK;
                            return Some((FeedItem::Lagged, (core, changes, next)));
                        }
                    };
                    match received {
                        Ok((whose, row)) if whose == tenant => {
                            return Some((FeedItem::Changed(row), (core, changes, look)));
                        }
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => {
                            return Some((FeedItem::Lagged, (core, changes, look)));
                        }
                        Err(RecvError::Closed) => return None,
                    }
                }
            },
        )
    }
}
