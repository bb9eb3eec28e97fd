//! Migration: executions that have not ended go on under another version.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::definition::ProgramHash;
use crate::engine::control::{Action, order_of};
use crate::engine::execution::{Active, After};
use crate::engine::handle::Handle;
use crate::interpreter::{Event, Order, Rebuilt};
use crate::{Error, ErrorKind, ExecutionId, InboxId, Scope};

/// How long a caller waits for the word of an execution's worker.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Rows of the journal read at once in search of an answer.
const PAGE: u32 = 100;

/// Which version an execution is to go on with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrate {
    /// The version.
    pub version: String,
    /// Why, for the history.
    pub reason: Option<String>,
    /// Only says whether it maps.
    pub dry_run: bool,
}

/// Whether an execution maps to another version, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The version that it has now.
    pub from: String,
    /// The version that was asked for.
    pub to: String,
    /// Why it does not map; empty if it does.
    pub reasons: Vec<String>,
    /// Whether it was carried over. Not yet, if its worker has not said so in time.
    pub done: bool,
}

impl Handle {
    /// Carries an execution over to another version of its workflow, if every task at
    /// work and every task that comes next is there by the same names. Effects under
    /// way go on. An execution that does not map is left as it is.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an execution or version,
    /// [`Conflict`](ErrorKind::Conflict) when it has ended.
    pub async fn migrate(
        &self,
        scope: &Scope,
        id: ExecutionId,
        migrate: Migrate,
    ) -> Result<Verdict, Error> {
        self.migrate_as(scope, id, migrate, None).await
    }

    /// Migrates under an order's id, or a new one.
    pub(super) async fn migrate_as(
        &self,
        scope: &Scope,
        id: ExecutionId,
        migrate: Migrate,
        order: Option<InboxId>,
    ) -> Result<Verdict, Error> {
        let row = self.fetch(scope, id).await?;
        let target = self.version_of(scope, &row, &migrate.version).await?;
        let ended = || {
            let message = format!("the execution has ended: it is {}; retry it", row.status);
            Error::new(ErrorKind::Conflict, message)
        };
        let progress = self.progress(id).await?.ok_or_else(ended)?;
        let present = &progress.identity.program;
        let mut verdict = Verdict {
            from: present.workflow().version.clone(),
            to: migrate.version,
            reasons: Vec::new(),
            done: present.hash() == target.hash(),
        };
        if verdict.done {
            return Ok(verdict);
        }
        if let Err(reasons) = progress.state.mapped(present, &target) {
            verdict.reasons = reasons;
            return Ok(verdict);
        }
        if migrate.dry_run {
            return Ok(verdict);
        }
        let action = Action::Migrate {
            program: target.hash(),
        };
        let order = self
            .command_as(scope, id, (order, action), migrate.reason)
            .await?;
        if let Some(reasons) = self.answer(scope, id, (order, progress.sequence)).await? {
            verdict.done = reasons.is_empty();
            verdict.reasons = reasons;
        }
        Ok(verdict)
    }

    /// Waits for what an execution's worker made of an order: reasons why it refused,
    /// none if it did it; nothing if it did not say so in time.
    async fn answer(
        &self,
        scope: &Scope,
        id: ExecutionId,
        (order, mut after): (InboxId, u64),
    ) -> Result<Option<Vec<String>>, Error> {
        let clock = &self.core.ports.clock;
        let deadline = clock.now() + ANSWER_WITHIN;
        let mut growth = self.core.feed.follow(id);
        loop {
            growth.mark_unchanged();
            let store = &self.core.ports.store;
            let rows = store.journal_list(scope, id, after, PAGE).await?;
            let found = rows
                .iter()
                .find(|row| order_of(row).is_some_and(|one| one.id == order));
            if let Some(row) = found {
                return Ok(Some(refusal_in(&row.payload)));
            }
            after = rows.last().map_or(after, |row| row.sequence);
            if !rows.is_empty() {
                continue;
            }
            if deadline <= clock.now() || self.fetch(scope, id).await?.status.is_ended() {
                return Ok(None);
            }
            let look = (clock.now() + self.core.options.poll).min(deadline);
            tokio::select! {
                biased;
                _ = growth.changed() => {}
                () = clock.sleep_until(look) => {}
            }
        }
    }
}

/// Reads the reasons of a refusal; none in any other event.
fn refusal_in(payload: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Refusal {
        order_refused: Reasons,
    }
    #[derive(Deserialize)]
    struct Reasons {
        why: Vec<String>,
    }
    let refusal: Result<Refusal, _> = serde_json::from_str(payload);
    refusal.map_or_else(|_| Vec::new(), |refusal| refusal.order_refused.why)
}

impl Active {
    /// Carries the execution over, or records why it cannot be.
    pub(in crate::engine) async fn migrate(
        &mut self,
        order: Order,
        program: ProgramHash,
    ) -> Result<After, Error> {
        let id = order.id;
        let identity = &self.progress.identity;
        let target = self.core.programs.pinned(identity.tenant, program).await?;
        let present = Arc::clone(&identity.program);
        if present.hash() == program || self.progress.state.end().is_some() {
            return self.commit(Vec::new(), vec![id]).await;
        }
        let event = match self.progress.state.mapped(&present, &target) {
            Ok(state) => Event::Migrated {
                order,
                rebuilt: Box::new(Rebuilt {
                    before: present.hash(),
                    program,
                    state,
                }),
            },
            Err(why) => Event::OrderRefused { order, why },
        };
        let mapped = event.rebuilt().is_some();
        if mapped {
            self.progress.identity.program = target;
        }
        let after = self.commit(vec![event], vec![id]).await?;
        if mapped {
            let identity = &self.progress.identity;
            self.core.label(identity).await;
        }
        Ok(after)
    }
}
