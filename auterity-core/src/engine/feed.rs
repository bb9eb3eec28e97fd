//! Word within the process of what was committed: for followers of one execution
//! and for the tenant's feed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::{broadcast, watch};

use crate::store::ExecutionRow;
use crate::{ExecutionId, TenantId};

/// Changes that a slow reader of the feed may fall behind before it is told to
/// look again.
const FEED_LENGTH: usize = 1_024;

/// The same for lifecycle events, of which there are several for each change.
const LIFECYCLE_LENGTH: usize = 8_192;

/// One word of a tenant's feed.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// An execution started, parked or ended; without input, output and error.
    Changed(Arc<ExecutionRow>),
    /// Some changes were missed: read the list again.
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
    followed: Mutex<HashMap<ExecutionId, watch::Sender<Growth>>>,
    changes: broadcast::Sender<(TenantId, Arc<ExecutionRow>)>,
    lifecycle: broadcast::Sender<(TenantId, Arc<Value>)>,
}

impl Feed {
    pub(super) fn new() -> Self {
        let (changes, _) = broadcast::channel(FEED_LENGTH);
        let (lifecycle, _) = broadcast::channel(LIFECYCLE_LENGTH);
        Self {
            followed: Mutex::default(),
            changes,
            lifecycle,
        }
    }

    /// Says that an execution's journal grew; asks how far only if somebody follows.
    pub(super) fn grew(&self, execution: ExecutionId, growth: impl FnOnce() -> Growth) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = followed.get(&execution) else {
            return;
        };
        let growth = growth();
        let ended = growth.ended;
        if sender.send(growth).is_err() || ended {
            followed.remove(&execution);
        }
    }

    /// Gives a receiver that sees each growth of an execution's journal.
    pub(super) fn follow(&self, execution: ExecutionId) -> watch::Receiver<Growth> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        // Ended ones have gone; this finds those that nobody follows any more.
        if followed.len().is_power_of_two() {
            followed.retain(|_, sender| sender.receiver_count() != 0);
        }
        followed
            .entry(execution)
            .or_insert_with(|| watch::channel(Growth::default()).0)
            .subscribe()
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
