//! Transactions of functions on the store in memory: one at a time, with the values
//! that it changed put aside until the commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        self.changes().insert((tenant, key.to_owned()), value);
    }

    /// Gives a value of the tenant as this transaction sees it.
    pub(in crate::store) fn value(&self, tenant: TenantId, key: &str) -> Option<Arc<str>> {
        let place = (tenant, key.to_owned());
        let changed = self.changes().get(&place).cloned();
        changed.unwrap_or_else(|| self.state().values.get(&place).cloned())
    }

    /// Gives all values of the tenant as this transaction sees them.
    pub(in crate::store) fn values(&self, tenant: TenantId) -> BTreeMap<String, Arc<str>> {
        let own = |(owner, _): &(TenantId, String)| *owner == tenant;
        let mut all: Changes = {
            let state = self.state();
            let kept = state.values.iter().filter(|(place, _)| own(place));
            kept.map(|(place, value)| (place.clone(), Some(Arc::clone(value))))
                .collect()
        };
        all.extend(self.changes().clone());
        let all = all.into_iter().filter(|(place, _)| own(place));
        all.filter_map(|((_, key), value)| Some((key, value?)))
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
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
