//! Faulted executions in groups.

use std::collections::BTreeMap;

use super::state::State;
use crate::ExecutionId;
use crate::store::fault::COUNTED_MAX;
use crate::store::{ExecutionRow, FaultGroup, FaultGroups, FaultSignature, Filter};

impl State {
    /// Gives the fault that an execution ended with.
    pub(super) fn fault(&self, id: ExecutionId) -> Option<FaultSignature> {
        self.executions.get(&id)?.ended.as_ref()?.fault
    }

    /// Groups the faulted ones among executions, the last started first.
    pub(super) fn fault_groups(
        &self,
        rows: impl Iterator<Item = ExecutionRow>,
        filter: &Filter,
        limit: u32,
    ) -> FaultGroups {
        let faulted = rows.filter_map(|row| {
            let fault = self.fault(row.id)?;
            let ended_at = row.ended_at?;
            let meant = filter.holds(&row, Some(fault));
            meant.then_some((fault, ended_at, row.id))
        });
        let mut groups: BTreeMap<FaultSignature, Vec<_>> = BTreeMap::new();
        let mut counted = 0;
        for (fault, ended_at, id) in faulted.take(COUNTED_MAX as usize + 1) {
            counted += 1;
            if counted <= COUNTED_MAX {
                groups.entry(fault).or_default().push((ended_at, id));
            }
        }
        let groups = groups.into_iter().filter_map(|(signature, faults)| {
            let (first_at, _) = *faults.iter().min()?;
            let (_, newest) = *faults.iter().max()?;
            let mut row = self.executions.get(&newest)?.row(newest, true);
            (row.input, row.output) = (None, None);
            Some(FaultGroup {
                signature,
                count: faults.len() as u64,
                first_at,
                newest: row,
            })
        });
        let mut groups: Vec<FaultGroup> = groups.collect();
        groups.sort_by_key(|group| (group.newest.ended_at, group.signature));
        groups.reverse();
        let partial = COUNTED_MAX < counted || (limit as usize) < groups.len();
        groups.truncate(limit as usize);
        FaultGroups { groups, partial }
    }
}
