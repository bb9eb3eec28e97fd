//! Transactions of functions on the store in memory: one at a time, with the values
//! that it changed put aside until the commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::state::State;
use crate::store::{Entry, Fence, Outcome};
use crate::{Error, TenantId};

/// Keys of a tenant with what they are to hold; nothing: they are to go.
type Changes = BTreeMap<(TenantId, String), Option<Arc<str>>>;

/// An open transaction.
pub(in crate::store) struct MemoryTransaction {
    state: Arc<Mutex<State>>,
    changes: Mutex<Changes>,
    _alone: OwnedMutexGuard<()>,
}

impl MemoryTransaction {
    pub(super) fn new(state: Arc<Mutex<State>>, alone: OwnedMutexGuard<()>) -> Self {
        Self {
            state,
            changes: Mutex::default(),
            _alone: alone,
        }
    }

    pub(in crate::store) fn commit_with(
        self,
        fence: &Fence,
        entry: &Entry,
    ) -> Result<Outcome, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcomes = state.append(Some(fence), std::slice::from_ref(entry))?;
        let outcome = outcomes.into_iter().next();
        let outcome = outcome.unwrap_or(Outcome::AlreadyRecorded);
        if outcome == Outcome::Recorded {
            apply(&mut state, self.changes.into_inner());
        }
        Ok(outcome)
    }

    pub(in crate::store) fn commit(self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        apply(&mut state, self.changes.into_inner());
    }

    pub(in crate::store) fn set(&self, tenant: TenantId, key: &str, value: Option<Arc<str>>) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.insert((tenant, key.to_owned()), value);
    }

    /// Gives all values of the tenant as this transaction sees them.
    pub(in crate::store) fn values(&self, tenant: TenantId) -> BTreeMap<String, Arc<str>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = state.values.iter();
        let mut all: BTreeMap<String, Arc<str>> = kept
            .filter(|((owner, _), _)| *owner == tenant)
            .map(|((_, key), value)| (key.clone(), Arc::clone(value)))
            .collect();
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for ((owner, key), value) in changes.iter() {
            match value {
                Some(value) if *owner == tenant => {
                    all.insert(key.clone(), Arc::clone(value));
                }
                None if *owner == tenant => drop(all.remove(key)),
                _ => {}
            }
        }
        all
    }
}

fn apply(state: &mut State, changes: Result<Changes, PoisonError<Changes>>) {
    for (key, value) in changes.unwrap_or_else(PoisonError::into_inner) {
        match value {
            Some(value) => drop(state.values.insert(key, value)),
            None => drop(state.values.remove(&key)),
        }
    }
}
