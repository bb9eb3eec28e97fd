//! Word within the process of what was committed: for followers of one execution
//! and for the tenant's feed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, watch};

use crate::store::{ExecutionRow, ProgressRow};
use crate::{ExecutionId, TenantId};

/// Changes that a slow reader of the feed may fall behind before it is told to
/// look again.
const FEED_LENGTH: usize = 1_024;

/// One word of a tenant's feed.
#[derive(Debug, Clone)]
pub enum FeedItem {
    /// An execution started, parked or ended; without input, output and error.
    Changed(Arc<ExecutionRow>),
    /// A function said how far it has come.
    Progressed(Arc<ProgressRow>),
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
    changes: broadcast::Sender<(TenantId, FeedItem)>,
}

impl Feed {
    pub(super) fn new() -> Self {
        let (changes, _) = broadcast::channel(FEED_LENGTH);
        Self {
            followed: Mutex::default(),
            changes,
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

    pub(super) fn changed(&self, tenant: TenantId, item: FeedItem) {
        // Nobody reading is no failure.
        drop(self.changes.send((tenant, item)));
    }

    pub(super) fn changes(&self) -> broadcast::Receiver<(TenantId, FeedItem)> {
        self.changes.subscribe()
    }
}
