//! Schedules at work: a reconciler that looks at what is due, records what follows, and
//! only then starts it.
//!
//! A tick is recorded before its execution starts, under an identity that can be there
//! once, and the execution's id is derived from it. So neither two workers nor a crash
//! between record and start make it happen twice, or never.

mod ask;
mod control;
mod fire;
mod sync;

pub(super) use fire::Beginning;

pub use ask::{Backfill, Preview, Triggered};
pub use control::ScheduleCreated;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::life::Core;
use crate::store::{Look, ScheduleClaim};
use crate::{Error, ExecutionId};

/// Schedules that one look takes at most: others get their turn in between, and other
/// workers their share.
const CLAIM_MAX: u32 = 100;

/// For how long nobody else looks at a schedule whose ticks are being started.
const HOLD: SignedDuration = SignedDuration::from_secs(30);

/// How often a worker looks when it knows of nothing that comes sooner. Schedules that
/// other processes make are found by then even if their word is lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The least time between two looks that other processes ask for.
const HEARD_EVERY: Duration = Duration::from_millis(250);

/// Started ticks whose executions are asked about at once.
const STARTED_MAX: u32 = 1_000;

/// Wakes the reconciler.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// Rung in this process.
    ring: Notify,
    /// Rung by other processes.
    heard: Notify,
}

impl Bell {
    /// Something about schedules changed in this process.
    pub(super) fn ring(&self) {
        self.ring.notify_one();
    }

    /// Another process says that something may have become due.
    pub(super) fn hear(&self) {
        self.heard.notify_one();
    }
}

/// The reconciler's routine.
pub(super) struct Scheduler {
    core: Arc<Core>,
    draining: CancellationToken,
    /// Up to which execution the started ticks were asked about.
    asked: Option<ExecutionId>,
}

impl Scheduler {
    pub(super) fn new(core: Arc<Core>, draining: CancellationToken) -> Self {
        Self {
            core,
            draining,
            asked: None,
        }
    }

    /// Looks again and again until the engine stops.
    pub(super) async fn work(mut self) {
        loop {
            let looked = self.core.now();
            let next = match self.round(looked).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(error = %error, "looking at schedules failed");
                    Some(looked + self.core.options.poll)
                }
            };
            let latest = looked + LOOK_EVERY.max(self.core.options.poll.unsigned_abs());
            let next = next.map_or(latest, |next| next.min(latest));
            let clock = &self.core.ports.clock;
            tokio::select! {
                biased;
                () = self.draining.cancelled() => return,
                () = self.core.bell.ring.notified() => {}
                () = self.core.bell.heard.notified() => {
                    clock.sleep_until(looked + HEARD_EVERY).await;
                }
                () = clock.sleep_until(next) => {}
            }
        }
    }

    /// Looks once; gives when to look again, if that is known.
    async fn round(&mut self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let under_way = self.settle(now).await?;
        let request = ScheduleClaim {
            now,
            hold: HOLD,
            limit: CLAIM_MAX,
            only: None,
        };
        let claimed = self.core.ports.store.schedule_claim(request).await?;
        let looks = claimed.looks.len();
        if looks != 0 {
            self.core.reconcile(claimed.looks).await?;
        }
        if CLAIM_MAX as usize <= looks || (looks != 0 && !under_way) {
            // There may be more, or what was just started may have ended already.
            return Ok(Some(now));
        }
        let poll = now + self.core.options.poll;
        let soon = under_way.then_some(poll);
        Ok([claimed.next_due, soon].into_iter().flatten().min())
    }

    /// Notes which executions of ticks have ended. Tells whether any are under way.
    async fn settle(&mut self, now: Timestamp) -> Result<bool, Error> {
        let store = &self.core.ports.store;
        let first = self.asked.is_none();
        let started = store.schedule_started(self.asked, STARTED_MAX).await?;
        let whole = started.len() < STARTED_MAX as usize;
        self.asked = match started.last() {
            Some(last) if !whole => Some(last.execution),
            _ => None,
        };
        let any = !started.is_empty() || !first;
        let ended: Vec<_> = started
            .into_iter()
            .filter(|tick| tick.ended.is_some())
            .collect();
        if !ended.is_empty() {
            store.schedule_settle(now, &ended).await?;
        }
        Ok(any)
    }
}

impl Core {
    /// Decides about schedules that are claimed, records it, and does what follows.
    async fn reconcile(self: &Arc<Self>, looks: Vec<Look>) -> Result<(), Error> {
        let now = self.now();
        let budget = &self.options.expression;
        let decisions = looks
            .into_iter()
            .map(|look| crate::schedule::decide(look, None, now, budget));
        self.carry_out(decisions.collect()).await?;
        Ok(())
    }
}
