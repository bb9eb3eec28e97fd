//! The measurements have no human tasks, so these calls are not counted.

use async_trait::async_trait;
use auterity_core::store::{
    HumanTaskCounts, HumanTaskQuery, HumanTaskRow, HumanTaskStore, HumanTaskUpdate, HumanTaskWhole,
    Page, Store,
};
use auterity_core::{Error, HumanTaskId, Scope, UserId};

use super::Counting;

#[async_trait]
impl<S: Store> HumanTaskStore for Counting<S> {
    async fn human_task_fetch(
        &self,
        scope: &Scope,
        id: HumanTaskId,
    ) -> Result<Option<HumanTaskWhole>, Error> {
        self.store.human_task_fetch(scope, id).await
    }

    async fn human_task_list(
        &self,
        scope: &Scope,
        query: &HumanTaskQuery,
    ) -> Result<Page<HumanTaskRow>, Error> {
        self.store.human_task_list(scope, query).await
    }

    async fn human_task_count(
        &self,
        scope: &Scope,
        audiences: &[String],
        claimed_by: UserId,
        most: u32,
    ) -> Result<HumanTaskCounts, Error> {
        self.store
            .human_task_count(scope, audiences, claimed_by, most)
            .await
    }

    async fn human_task_update(&self, update: &HumanTaskUpdate) -> Result<bool, Error> {
        self.store.human_task_update(update).await
    }
}
