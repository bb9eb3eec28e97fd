//! Which executions are meant, and the faulted ones in groups.

use super::handle::Handle;
use crate::store::{FaultGroups, Filter, FilterMistake};
use crate::{Error, Scope};

/// Groups in one answer at most.
const GROUPS_MAX: u32 = 200;

impl Handle {
    /// Reads a filter as [`Filter::parse`] does; ages count back from the engine's time.
    ///
    /// # Errors
    /// Every mistake, in order of its place.
    pub fn filter(&self, text: &str) -> Result<Filter, Vec<FilterMistake>> {
        Filter::parse(text, self.core().now())
    }

    /// Groups faulted executions by what went wrong, the group with the latest fault
    /// first; 200 groups at most.
    ///
    /// # Errors
    /// What the store says.
    pub async fn faults(
        &self,
        scope: &Scope,
        filter: &Filter,
        limit: u32,
    ) -> Result<FaultGroups, Error> {
        let store = &self.core().ports.store;
        let limit = limit.clamp(1, GROUPS_MAX);
        store.fault_groups(scope, filter, limit).await
    }
}
