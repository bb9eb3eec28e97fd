//! Removes executions whose time after their end is over.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::life::Core;
use crate::Error;
use crate::expression::fixed;
use crate::store::{WorkflowAge, WorkflowKey};

/// How often it is looked for what need not be kept: where something was decided, and
/// where nothing was, which another process may change.
const LOOK_EVERY: SignedDuration = SignedDuration::from_hours(1);
const LOOK_SELDOM: SignedDuration = SignedDuration::from_hours(24);

/// The pause after each batch, which leaves the database to others.
const REST: SignedDuration = SignedDuration::from_millis(50);

/// Workflows of one look, and executions of one batch.
const WORKFLOWS: u32 = 1_000;
const BATCH: u32 = 200;

/// What a look gave.
#[derive(Debug, Default)]
struct Looked {
    removed: u64,
    /// Whether anything is kept for a time only.
    is_decided: bool,
}

/// Looks again and again, until the engine stops.
pub(super) async fn keep(core: Arc<Core>) {
    let stopping = core.routines.stopping().clone();
    let mut pause = LOOK_EVERY;
    loop {
        let next = core.now() + pause;
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = core.retention_set.notified() => {}
            () = core.ports.clock.sleep_until(next) => {}
        }
        let looked = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            looked = look(&core) => looked,
        };
        pause = LOOK_EVERY;
        match looked {
            Ok(Looked {
                removed,
                is_decided,
            }) => {
                if 0 < removed {
                    tracing::info!(removed, "executions were removed after their retention");
                }
                if !is_decided {
                    pause = LOOK_SELDOM;
                }
            }
            Err(error) => tracing::warn!(error = %error, "removing old executions failed"),
        }
    }
}

/// Removes all whose time is over.
async fn look(core: &Core) -> Result<Looked, Error> {
    let (store, mut after) = (&core.ports.store, None::<WorkflowKey>);
    let mut looked = Looked::default();
    loop {
        let ages = store.retention_list(after.as_ref(), WORKFLOWS).await?;
        let is_last = ages.len() < WORKFLOWS as usize;
        for age in &ages {
            let Some(kept_for) = kept_for(age, core.options.retention) else {
                continue;
            };
            looked.is_decided = true;
            let Ok(before) = core.now().checked_sub(kept_for) else {
                continue;
            };
            if age.oldest.is_some_and(|oldest| oldest < before) {
                looked.removed += remove(core, &age.workflow, before).await?;
            }
        }
        after = ages.into_iter().last().map(|age| age.workflow);
        if is_last {
            return Ok(looked);
        }
    }
}

async fn remove(core: &Core, workflow: &WorkflowKey, before: Timestamp) -> Result<u64, Error> {
    let mut count = 0;
    loop {
        let removed = core
            .ports
            .store
            .retention_remove(workflow, before, BATCH)
            .await?;
        count += u64::from(removed);
        if removed < BATCH {
            return Ok(count);
        }
        core.ports.clock.sleep_until(core.now() + REST).await;
    }
}

/// What the settings of a workflow and of a tenant say about it, both in one form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Decided {
    #[serde(with = "fixed::optional")]
    retention: Option<SignedDuration>,
}

/// Gives for how long a workflow's executions are kept, if not for ever.
fn kept_for(age: &WorkflowAge, by_host: Option<SignedDuration>) -> Option<SignedDuration> {
    let decided = |body: &Option<Arc<str>>| {
        let decided = serde_json::from_str::<Decided>(body.as_deref()?).ok()?;
        decided.retention
    };
    decided(&age.settings)
        .or_else(|| decided(&age.of_tenant))
        .or(by_host)
}
