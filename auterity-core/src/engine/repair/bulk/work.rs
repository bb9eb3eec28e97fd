//! The routine that works operations off.
//!
//! An operation belongs to one worker for a while, which notes outcomes in batches. What
//! a crash cuts off is done again by whoever claims the operation next; each order has an
//! id of its own, so that it is done once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{AT_ONCE, BulkAction, PLAN_FOR, read_action};
use crate::engine::handle::Handle;
use crate::engine::life::{Core, Life};
use crate::store::{BulkItem, BulkItems, BulkNext, BulkOutcome, BulkRow};
use crate::{Error, Scope};

/// Operations at work in one process.
const OPERATIONS_MAX: usize = 4;

/// Executions between two notes.
const BATCH: u32 = 40;

/// How long an operation stays a worker's that says nothing.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// How often a worker looks for operations that others started or left.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often old operations are removed, and how long an ended one is kept.
const FORGET_EVERY: SignedDuration = SignedDuration::from_hours(1);
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The routine.
pub(in crate::engine) struct BulkWorker {
    core: Arc<Core>,
    handle: Handle,
    draining: CancellationToken,
    forgot_at: Option<Timestamp>,
}

impl BulkWorker {
    pub(in crate::engine) fn new(core: Arc<Core>, draining: CancellationToken) -> Self {
        Self {
            handle: Handle::new(Arc::clone(&core), true),
            core,
            draining,
            forgot_at: None,
        }
    }

    /// Works until the engine stops.
    pub(in crate::engine) async fn work(mut self) {
        let core = Arc::clone(&self.core);
        let (handle, draining) = (self.handle.clone(), self.draining.clone());
        let mut at_work = FuturesUnordered::new();
        loop {
            self.forget().await;
            while at_work.len() < OPERATIONS_MAX && !draining.is_cancelled() {
                match claim(&core).await {
                    Ok(Some((operation, life))) => {
                        at_work.push(work_off(&core, &handle, &draining, operation, life));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(error = %error, "looking for bulk operations failed");
                        break;
                    }
                }
            }
            let look = core.now() + LOOK_EVERY.max(core.options.poll.unsigned_abs());
            tokio::select! {
                biased;
                () = draining.cancelled() => break,
                Some(()) = at_work.next() => {}
                () = core.bulk.notified() => {}
                () = core.ports.clock.sleep_until(look) => {}
            }
        }
        // What is at work sees that the engine stops, and gives its operation back.
        while at_work.next().await.is_some() {}
    }

    async fn forget(&mut self) {
        let now = self.core.now();
        if self.forgot_at.is_some_and(|at| now < at + FORGET_EVERY) {
            return;
        }
        self.forgot_at = Some(now);
        let store = &self.core.ports.store;
        // Twice the time in which a plan may be started: nobody is just starting it.
        let forgotten = store.bulk_forget(now - PLAN_FOR * 2, now - KEPT_FOR).await;
        if let Err(error) = forgotten {
            tracing::warn!(error = %error, "old bulk operations were not removed");
        }
    }
}

/// Claims an operation that nobody works on.
async fn claim(core: &Core) -> Result<Option<(BulkRow, Arc<Life>)>, Error> {
    let Some(life) = core.life().filter(|life| !life.is_over()) else {
        return Ok(None);
    };
    let now = core.now();
    let store = &core.ports.store;
    let claimed = store
        .bulk_claim(life.fence.worker, now, now + LEASE)
        .await?;
    Ok(claimed.map(|operation| (operation, life)))
}

/// Works on an operation until its end, its stop, or the engine's.
async fn work_off(
    core: &Core,
    handle: &Handle,
    draining: &CancellationToken,
    operation: BulkRow,
    life: Arc<Life>,
) {
    let (id, worker) = (operation.id, life.fence.worker);
    let worked = batches(core, handle, draining, &operation, &life).await;
    if let Err(error) = worked {
        tracing::warn!(error = %error, operation = %id, "a bulk operation waits");
        let wait = core.now() + core.options.poll;
        tokio::select! {
            biased;
            () = draining.cancelled() => {}
            () = core.ports.clock.sleep_until(wait) => {}
        }
    }
    // Harmless if it has ended. If it cannot be said, the lease runs out.
    let store = &core.ports.store;
    if let Err(error) = store.bulk_note(id, worker, &[], BulkNext::Release).await {
        tracing::debug!(error = %error, operation = %id, "a bulk operation was not given back");
    }
}

async fn batches(
    core: &Core,
    handle: &Handle,
    draining: &CancellationToken,
    operation: &BulkRow,
    life: &Life,
) -> Result<(), Error> {
    let action = read_action(operation)?;
    let scope = Life::scope_of(operation.tenant, operation.by.clone());
    let batch = operation.rate.map_or(BATCH, |rate| rate.min(BATCH));
    let store = &core.ports.store;
    // Whoever had the operation before may have done the first of what is open.
    let mut may_repeat = true;
    while !life.is_over() && !draining.is_cancelled() {
        let began = core.now();
        let open = store
            .bulk_items(operation.id, BulkItems::Open, 0, batch)
            .await?;
        let outcomes: Vec<Result<BulkItem, Error>> = stream::iter(open)
            .map(|item| outcome(handle, &scope, item, (operation, &action, may_repeat)))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let (mut known, mut failure) = (Vec::new(), None);
        for outcome in outcomes {
            match outcome {
                Ok(item) => known.push(item),
                Err(error) => failure = Some(error),
            }
        }
        let ended = known.is_empty() && failure.is_none();
        let next = if ended {
            BulkNext::End(core.now())
        } else {
            BulkNext::Keep(core.now() + LEASE)
        };
        let ours = store
            .bulk_note(operation.id, life.fence.worker, &known, next)
            .await?;
        if let Some(error) = failure {
            return Err(error);
        }
        if !ours || ended {
            break;
        }
        may_repeat = false;
        if let Some(rate) = operation.rate {
            let pace = Duration::from_secs(known.len() as u64) / rate;
            tokio::select! {
                biased;
                () = draining.cancelled() => break,
                () = core.ports.clock.sleep_until(began + pace) => {}
            }
        }
    }
    Ok(())
}

async fn outcome(
    handle: &Handle,
    scope: &Scope,
    item: BulkItem,
    (operation, action, may_repeat): (&BulkRow, &BulkAction, bool),
) -> Result<BulkItem, Error> {
    let (id, order) = (item.execution, operation.id.order(item.execution));
    let why = operation.reason.clone();
    let refused = handle
        .act(scope, id, (action, why), (order, may_repeat))
        .await?;
    Ok(BulkItem {
        outcome: Some(match refused {
            Some(_) => BulkOutcome::Refused,
            None => BulkOutcome::Done,
        }),
        detail: refused,
        ..item
    })
}
