//! What functions under way say, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use super::state::State;
use crate::store::{Fence, TaskProgress, TaskProgressStore};
use crate::{Error, ExecutionId, Scope};

#[async_trait]
impl TaskProgressStore for MemoryStore {
    async fn task_progress_put(
        &self,
        fence: &Fence,
        said: &[TaskProgress],
        over: &[(ExecutionId, u64)],
    ) -> Result<(), Error> {
        let mut state = self.state();
        for one in said {
            if state.owns(fence.worker, one.execution) {
                let key = (one.execution, one.effect);
                state.task_progress.insert(key, one.clone());
            }
        }
        for key in over {
            state.task_progress.remove(key);
        }
        Ok(())
    }

    async fn task_progress_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Vec<TaskProgress>, Error> {
        let state = self.state();
        let said = state.task_progress.range((id, 0)..=(id, u64::MAX));
        let own = said.filter(|(_, one)| one.tenant == scope.tenant());
        Ok(own.map(|(_, one)| one.clone()).collect())
    }

    async fn task_progress_sweep(&self) -> Result<(), Error> {
        let mut state = self.state();
        let State {
            task_progress,
            executions,
            ..
        } = &mut *state;
        task_progress.retain(|(execution, _), _| {
            let execution = executions.get(execution);
            execution.is_some_and(|one| one.ended.is_none())
        });
        Ok(())
    }
}
