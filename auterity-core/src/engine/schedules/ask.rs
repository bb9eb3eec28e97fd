//! What is asked of schedules that are there: what they are and did, ticks beside their
//! times, ranges of the past, times to come.

use jiff::{SignedDuration, Timestamp};

use super::HOLD;
use super::control::{
    ROUNDS_MAX, ScheduleCreated, beginning, busy, first_of, just_before, new_row, refuse,
};
use crate::engine::handle::Handle;
use crate::schedule::{Asked, Calendar, CatchUp, Overlap, Policy, Spec, Timing, decide};
use crate::store::{
    ListedSchedule, Page, ScheduleClaim, ScheduleKey, SchedulePut, ScheduleQuery, ScheduleRow,
    TickRow,
};
use crate::{Error, ErrorKind, ScheduleId, Scope};

/// Ticks that one backfill may have.
const BACKFILL_TICKS_MAX: usize = 10_000;
/// Backfills of one schedule that are kept.
const BACKFILLS_MAX: usize = 100;
/// Times of a preview.
const PREVIEW_MAX: usize = 100;

/// A range of the past to make up for.
#[derive(Debug, Clone, Copy)]
pub struct Backfill {
    /// The first time that counts.
    pub from: Timestamp,
    /// The last time that counts.
    pub to: Timestamp,
    /// What happens to a tick while an execution of the backfill is active.
    pub overlap: Overlap,
}

/// What a trigger gave.
#[derive(Debug, Clone)]
pub struct Triggered {
    /// The tick.
    pub tick: TickRow,
    /// Whether it had been made before, with the same idempotency key.
    pub existing: bool,
}

/// What a timing means, before anything is kept.
#[derive(Debug, Clone)]
pub struct Preview {
    /// When it comes, in words.
    pub description: String,
    /// The next times; none for a timing that does not go by the clock.
    pub times: Vec<Timestamp>,
}

impl Handle {
    /// Fetches a schedule or backfill.
    ///
    /// # Errors
    /// What the store says.
    pub async fn schedule(
        &self,
        scope: &Scope,
        id: ScheduleId,
    ) -> Result<Option<ScheduleRow>, Error> {
        self.core.ports.store.schedule_fetch(scope, id).await
    }

    /// Lists schedules by name, each with its last tick.
    ///
    /// # Errors
    /// What the store says.
    pub async fn schedules(
        &self,
        scope: &Scope,
        query: &ScheduleQuery,
    ) -> Result<Page<ListedSchedule>, Error> {
        self.core.ports.store.schedule_list(scope, query).await
    }

    /// Lists a schedule's ticks before a sequence number, the newest first.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a schedule.
    pub async fn schedule_ticks(
        &self,
        scope: &Scope,
        id: ScheduleId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<TickRow>, Error> {
        self.schedule_known(scope, id).await?;
        let store = &self.core.ports.store;
        store.schedule_ticks(scope, id, before, limit).await
    }

    /// Makes a tick now, even of a paused schedule. The overlap policy decides what
    /// becomes of it, the schedule's own unless another is given. A repeated call with
    /// the same idempotency key finds the first tick while that is remembered.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a schedule.
    ///
    /// # Cancel safety
    /// A dropped future may leave the tick made; use an idempotency key.
    pub async fn schedule_trigger(
        &self,
        scope: &Scope,
        id: ScheduleId,
        overlap: Option<Overlap>,
        idempotency_key: Option<&str>,
    ) -> Result<Triggered, Error> {
        self.schedule_known(scope, id).await?;
        let store = &self.core.ports.store;
        let name = match idempotency_key {
            Some(key) => ScheduleId::derived(scope.tenant(), key),
            None => ScheduleId::generate(self.core.now(), &*self.core.ports.entropy),
        };
        let identity = format!("n:{name}");
        for _ in 0..ROUNDS_MAX {
            let now = self.core.now();
            let request = ScheduleClaim {
                now,
                hold: HOLD,
                limit: 1,
                only: Some(id),
            };
            let claimed = store.schedule_claim(request).await?;
            let Some(look) = claimed.looks.into_iter().next() else {
                break;
            };
            // Nobody who claimed before can record a decision any more.
            let kept = store.schedule_tick_find(scope, id, &identity).await?;
            let asked = kept.is_none().then(|| Asked {
                identity: identity.clone(),
                overlap,
            });
            let makes = asked.is_some();
            let decision = decide(look, asked, now, &self.core.options.expression);
            let recorded = self.core.carry_out(vec![decision]).await?;
            // If another took the schedule meanwhile it may have made the tick too.
            if let Some(tick) = store.schedule_tick_find(scope, id, &identity).await? {
                self.core.bell.ring();
                return Ok(Triggered {
                    tick,
                    existing: !makes || recorded.is_empty(),
                });
            }
        }
        Err(busy())
    }

    /// Makes the ticks of a range of the past, under an overlap policy of its own. The
    /// backfill is a schedule of its own, which can be paused, resumed and deleted. A
    /// repeated call with the same idempotency key finds the first.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) for a schedule that does not go by the clock
    /// or a range that is empty or reaches into the future,
    /// [`Limit`](ErrorKind::Limit) for a range with too many ticks,
    /// [`Conflict`](ErrorKind::Conflict) when the key was used for another backfill.
    ///
    /// # Cancel safety
    /// A dropped future may leave the backfill made; use an idempotency key.
    pub async fn schedule_backfill(
        &self,
        scope: &Scope,
        id: ScheduleId,
        Backfill { from, to, overlap }: Backfill,
        idempotency_key: Option<&str>,
    ) -> Result<ScheduleCreated, Error> {
        let schedule = self.schedule_known(scope, id).await?;
        let now = self.core.now();
        let backfill = match idempotency_key {
            Some(key) => ScheduleId::derived(scope.tenant(), &format!("{id} {key}")),
            None => ScheduleId::generate(now, &*self.core.ports.entropy),
        };
        if let (Some(key), Some(first)) = (idempotency_key, self.schedule(scope, backfill).await?) {
            return first_of(first, key, |first| {
                let policy = &first.spec.policy;
                (policy.starts_at, policy.ends_at, policy.overlap)
                    == (Some(from), Some(to), overlap)
            });
        }
        let count = backfill_size(&schedule, (from, to), now)?;
        let query = ScheduleQuery {
            backfills_of: Some(id),
            limit: u32::try_from(BACKFILLS_MAX).unwrap_or(u32::MAX),
            ..ScheduleQuery::default()
        };
        if BACKFILLS_MAX <= self.schedules(scope, &query).await?.items.len() {
            let message =
                format!("a schedule keeps at most {BACKFILLS_MAX} backfills; delete some");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let spec = Spec {
            policy: Policy {
                overlap,
                catch_up: CatchUp::All,
                jitter: SignedDuration::ZERO,
                starts_at: Some(from),
                ends_at: Some(to),
                pause_after_failures: schedule.spec.policy.pause_after_failures,
            },
            ..schedule.spec.clone()
        };
        let name = format!("{now}: {count} ticks");
        let key = ScheduleKey::Backfill(backfill);
        let mut row = new_row(scope, (backfill, key), &name, spec, now);
        row.backfill_of = Some(id);
        row.anchor = schedule.anchor;
        row.plan();
        let most = self.core.options.schedules_max;
        let put = self.core.ports.store.schedule_put(&row, most).await?;
        self.core.bell.ring();
        Ok(ScheduleCreated {
            row,
            existing: put != SchedulePut::Created,
        })
    }

    /// Says what a timing means and gives its next times under a policy, at most 100.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) with [violations](Error::violations).
    pub fn schedule_preview(
        &self,
        timing: &Timing,
        policy: &Policy,
        count: usize,
    ) -> Result<Preview, Error> {
        let mut found = Vec::new();
        timing.check(&mut found);
        policy.check(&mut found);
        refuse(found)?;
        let now = self.core.now();
        let (anchor, cursor) = beginning(policy, now);
        let times = Calendar::of(timing, anchor)
            .map(|calendar| calendar.preview(cursor, policy.ends_at, count.min(PREVIEW_MAX)));
        Ok(Preview {
            description: timing.describe(),
            times: times.unwrap_or_default(),
        })
    }

    /// Gives a schedule's next times as they are planned, at most 100; none while it is
    /// paused.
    #[must_use]
    pub fn schedule_next(&self, row: &ScheduleRow, count: usize) -> Vec<Timestamp> {
        let count = count.min(PREVIEW_MAX);
        match Calendar::of(&row.spec.timing, row.anchor) {
            _ if row.paused.is_some() => Vec::new(),
            Some(calendar) => calendar.preview(row.cursor, row.spec.policy.ends_at, count),
            None => row.next.into_iter().take(count).collect(),
        }
    }
}

/// Gives the number of ticks in a range of the past.
fn backfill_size(
    schedule: &ScheduleRow,
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<usize, Error> {
    let wrong = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
    let calendar = Calendar::of(&schedule.spec.timing, schedule.anchor);
    let Some(calendar) = calendar.filter(|_| schedule.backfill_of.is_none()) else {
        return wrong("only a schedule by cron or period can be backfilled");
    };
    if now < to || to < from {
        return wrong("the range must end after its start and not in the future");
    }
    let most = BACKFILL_TICKS_MAX + 1;
    let count = calendar.preview(just_before(from), Some(to), most).len();
    if count == 0 {
        return wrong("there is no tick in this range");
    }
    if most <= count {
        let message =
            format!("the range has more than {BACKFILL_TICKS_MAX} ticks; backfill it in parts");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(count)
}
