//! Removes executions that ended long ago from memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use super::state::{Execution, State};
use crate::store::{RetentionStore, WorkflowAge, WorkflowKey};
use crate::{Error, ExecutionId};

#[async_trait]
impl RetentionStore for MemoryStore {
    async fn retention_list(
        &self,
        after: Option<&WorkflowKey>,
        limit: u32,
    ) -> Result<Vec<WorkflowAge>, Error> {
        let state = self.state();
        let workflows = state
            .definitions
            .keys()
            .map(|(tenant, namespace, name)| WorkflowKey {
                tenant: *tenant,
                namespace: namespace.clone(),
                name: name.clone(),
            });
        let later = workflows.filter(|key| after.is_none_or(|after| after < key));
        let ages = later.take(limit as usize).map(|workflow| {
            let body = |workflow: Option<(&str, &str)>, tenant| {
                state.flow.fetch(tenant, workflow).map(|row| row.body)
            };
            let name = Some((&*workflow.namespace, &*workflow.name));
            let (settings, of_tenant) = (body(name, workflow.tenant), body(None, workflow.tenant));
            let oldest = started(&state, &workflow)
                .map(|(_, one)| one.start.at)
                .next();
            WorkflowAge {
                workflow,
                oldest,
                settings,
                of_tenant,
            }
        });
        Ok(ages.collect())
    }

    async fn retention_remove(
        &self,
        workflow: &WorkflowKey,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u32, Error> {
        let mut state = self.state();
        let gone: Vec<_> = started(&state, workflow)
            .filter(|(_, execution)| {
                let ended = &execution.ended;
                ended.as_ref().is_some_and(|ended| ended.at < ended_before)
            })
            .map(|(id, _)| id)
            .take(limit as usize)
            .collect();
        for id in &gone {
            remove(&mut state, *id);
        }
        Ok(u32::try_from(gone.len()).unwrap_or(u32::MAX))
    }
}

/// Gives the executions of a workflow, the ones that began first before others.
fn started<'s>(
    state: &'s State,
    workflow: &'s WorkflowKey,
) -> impl Iterator<Item = (ExecutionId, &'s Execution)> {
    let of_tenant = state
        .by_start
        .iter()
        .filter(|(tenant, ..)| *tenant == workflow.tenant);
    let executions = of_tenant.filter_map(|(.., id)| Some((*id, state.executions.get(id)?)));
    executions.filter(|(_, execution)| {
        let started = &execution.start.workflow;
        started.namespace == workflow.namespace && started.name == workflow.name
    })
}

fn remove(state: &mut State, id: ExecutionId) {
    let Some(execution) = state.executions.remove(&id) else {
        return;
    };
    state.human_tasks.remove(id);
    let (tenant, start) = (execution.tenant, execution.start);
    state.by_start.remove(&(tenant, start.at, id));
    if let Some(key) = start.idempotency_key {
        state.keys.remove(&(tenant, key));
    }
}
