//! What is done to one execution of a bulk operation.

use super::{BulkAction, PAGE};
use crate::engine::control::{Action, order_of};
use crate::engine::handle::Handle;
use crate::engine::repair::{Migrate, Retry};
use crate::store::Status;
use crate::{Error, ErrorKind, ExecutionId, InboxId, Scope};

impl Handle {
    /// Says why an action does not fit an execution, if it does not; changes nothing.
    pub(super) async fn fits(
        &self,
        scope: &Scope,
        id: ExecutionId,
        action: &BulkAction,
    ) -> Result<Option<String>, Error> {
        reason(self.try_out(scope, id, action).await)
    }

    /// Does the action to an execution; gives the reason when it does not fit. What may
    /// have been done before a crash is looked for first.
    pub(super) async fn act(
        &self,
        scope: &Scope,
        id: ExecutionId,
        (action, why): (&BulkAction, Option<String>),
        (order, may_repeat): (InboxId, bool),
    ) -> Result<Option<String>, Error> {
        if may_repeat && self.has_order(scope, id, order).await? {
            return Ok(None);
        }
        let done = self.order_done(scope, id, (action, why), order).await;
        match done {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let known = self.has_order(scope, id, order).await?;
                if known { Ok(None) } else { reason(Err(error)) }
            }
            other => reason(other),
        }
    }

    async fn try_out(
        &self,
        scope: &Scope,
        id: ExecutionId,
        action: &BulkAction,
    ) -> Result<Vec<String>, Error> {
        match action {
            BulkAction::Cancel | BulkAction::Terminate => {
                let status = self.fetch(scope, id).await?.status;
                if status.is_ended() {
                    return Ok(vec![format!("the execution has ended: it is {status}")]);
                }
            }
            BulkAction::Suspend => {
                let status = self.fetch(scope, id).await?.status;
                if status.is_ended() {
                    return Ok(vec![format!("the execution has ended: it is {status}")]);
                }
                self.may_suspend(scope, id).await?;
            }
            BulkAction::Resume => {
                let status = self.fetch(scope, id).await?.status;
                if status != Status::Suspended {
                    return Ok(vec![format!("the execution is {status} and not suspended")]);
                }
            }
            BulkAction::Retry { .. } => {
                let retry = retry(action, None, true);
                self.retry(scope, id, retry).await?;
            }
            BulkAction::Migrate { version } => {
                let migrate = Migrate {
                    version: version.clone(),
                    reason: None,
                    dry_run: true,
                };
                return Ok(self.migrate(scope, id, migrate).await?.reasons);
            }
        }
        Ok(Vec::new())
    }

    async fn order_done(
        &self,
        scope: &Scope,
        id: ExecutionId,
        (action, why): (&BulkAction, Option<String>),
        order: InboxId,
    ) -> Result<Vec<String>, Error> {
        let command = match action {
            BulkAction::Cancel => Action::Cancel,
            BulkAction::Terminate => Action::Terminate,
            BulkAction::Suspend => {
                if !self.may_suspend(scope, id).await? {
                    return Ok(Vec::new());
                }
                Action::Suspend
            }
            BulkAction::Resume => {
                self.may_resume(scope, id).await?;
                Action::Resume
            }
            BulkAction::Retry { .. } => {
                let retry = retry(action, why, false);
                self.retry_as(scope, id, retry, Some(order)).await?;
                return Ok(Vec::new());
            }
            BulkAction::Migrate { version } => {
                let migrate = Migrate {
                    version: version.clone(),
                    reason: why,
                    dry_run: false,
                };
                let verdict = self.migrate_as(scope, id, migrate, Some(order)).await?;
                return Ok(verdict.reasons);
            }
        };
        self.command_as(scope, id, (Some(order), command), why)
            .await?;
        Ok(Vec::new())
    }

    /// Tells whether an order is in an execution's history.
    async fn has_order(
        &self,
        scope: &Scope,
        id: ExecutionId,
        order: InboxId,
    ) -> Result<bool, Error> {
        let mut after = 0;
        loop {
            let store = &self.core.ports.store;
            let rows = store.journal_list(scope, id, after, PAGE).await?;
            let mut orders = rows.iter().filter_map(order_of);
            if orders.any(|one| one.id == order) {
                return Ok(true);
            }
            match rows.last() {
                Some(row) if rows.len() == PAGE as usize => after = row.sequence,
                _ => return Ok(false),
            }
        }
    }
}

fn retry(action: &BulkAction, reason: Option<String>, dry_run: bool) -> Retry {
    let (from_task, version) = match action {
        BulkAction::Retry { from_task, version } => (from_task.clone(), version.clone()),
        _ => (None, None),
    };
    Retry {
        from_task,
        version,
        reason,
        dry_run,
        ..Retry::default()
    }
}

/// Turns what does not fit an execution into words; what may pass stays an error.
fn reason(outcome: Result<Vec<String>, Error>) -> Result<Option<String>, Error> {
    match outcome {
        Ok(reasons) => Ok((!reasons.is_empty()).then(|| reasons.join("; "))),
        Err(error) if error.is_retryable() || error.kind() == ErrorKind::Fenced => Err(error),
        Err(error) => Ok(Some(error.message().to_owned())),
    }
}
