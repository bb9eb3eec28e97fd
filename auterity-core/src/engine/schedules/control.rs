//! What the rest of a program asks about schedules.

use jiff::{SignedDuration, Timestamp};

use super::HOLD;
use crate::engine::handle::Handle;
use crate::schedule::{Asked, Calendar, CatchUp, Overlap, Policy, Spec, Timing, decide};
use crate::store::{
    ListedSchedule, Page, Pause, ScheduleClaim, ScheduleKey, SchedulePut, ScheduleQuery,
    ScheduleRow, TickRow,
};
use crate::{Error, ErrorKind, ScheduleId, Scope, Violation};

/// Characters of a schedule's name.
const NAME_LENGTH_MAX: usize = 200;
/// Characters of the reason of a pause.
const REASON_LENGTH_MAX: usize = 1_000;
/// Ticks that one backfill may have.
const BACKFILL_TICKS_MAX: usize = 10_000;
/// Backfills of one schedule that are kept.
const BACKFILLS_MAX: usize = 100;
/// Times of a preview.
const PREVIEW_MAX: usize = 100;
/// How often a change is tried again when others change the schedule at the same time.
const ROUNDS_MAX: u32 = 10;

/// What making a schedule gave.
#[derive(Debug, Clone)]
pub struct ScheduleCreated {
    /// The schedule.
    pub row: ScheduleRow,
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
    /// Makes a schedule. A repeated call with the same idempotency key finds the first.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) with [violations](Error::violations),
    /// [`Conflict`](ErrorKind::Conflict) when the name is taken.
    ///
    /// # Cancel safety
    /// A dropped future may leave the schedule made; use an idempotency key.
    pub async fn schedule_create(
        &self,
        scope: &Scope,
        name: &str,
        spec: Spec,
        idempotency_key: Option<&str>,
    ) -> Result<ScheduleCreated, Error> {
        self.check_schedule(scope, name, &spec).await?;
        let now = self.core.now();
        let id = match idempotency_key {
            Some(key) => ScheduleId::derived(scope.tenant(), key),
            None => ScheduleId::generate(now, &*self.core.ports.entropy),
        };
        let key = ScheduleKey::Name(name.to_owned());
        let row = new_row(scope, (id, key), name, spec, now);
        match self.core.ports.store.schedule_put(&row).await? {
            SchedulePut::Created => {
                self.core.bell.ring();
                Ok(ScheduleCreated {
                    row,
                    existing: false,
                })
            }
            SchedulePut::Exists(found) if found == id && idempotency_key.is_some() => {
                let row = self.schedule_known(scope, id).await?;
                Ok(ScheduleCreated {
                    row,
                    existing: true,
                })
            }
            SchedulePut::Exists(found) => {
                let message = format!("there is a schedule named {name:?} already");
                Err(Error::new(ErrorKind::Conflict, message).with("schedule", found))
            }
        }
    }

    /// Replaces what a schedule says. Its ticks and whether it is paused stay; new times
    /// count from now. Gives nothing, and changes nothing, if the revision is not the
    /// present one.
    ///
    /// # Errors
    /// As [`schedule_create`](Self::schedule_create);
    /// [`NotFound`](ErrorKind::NotFound) without such a schedule,
    /// [`Conflict`](ErrorKind::Conflict) when it belongs to a definition.
    pub async fn schedule_update(
        &self,
        scope: &Scope,
        id: ScheduleId,
        revision: u64,
        spec: Spec,
    ) -> Result<Option<ScheduleRow>, Error> {
        let mut row = self.schedule_known(scope, id).await?;
        if row.managed || row.backfill_of.is_some() {
            let message = "the schedule is part of a definition; deploy a new version to change it";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if row.revision != revision {
            return Ok(None);
        }
        self.check_schedule(scope, &row.name, &spec).await?;
        replace_spec(&mut row, spec, self.core.now());
        self.put_changed(row, revision).await
    }

    /// Pauses a schedule; ticks that pass meanwhile start nothing, ever. What runs goes on.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a schedule.
    pub async fn schedule_pause(
        &self,
        scope: &Scope,
        id: ScheduleId,
        reason: Option<String>,
    ) -> Result<ScheduleRow, Error> {
        let reason = reason.map(|reason| reason.chars().take(REASON_LENGTH_MAX).collect());
        let pause = Pause {
            reason,
            at: self.core.now(),
            by_failures: false,
        };
        self.change_pause(scope, id, Some(&pause)).await
    }

    /// Resumes a paused schedule from now on, and forgets its failures.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a schedule.
    pub async fn schedule_resume(
        &self,
        scope: &Scope,
        id: ScheduleId,
    ) -> Result<ScheduleRow, Error> {
        self.change_pause(scope, id, None).await
    }

    async fn change_pause(
        &self,
        scope: &Scope,
        id: ScheduleId,
        pause: Option<&Pause>,
    ) -> Result<ScheduleRow, Error> {
        for _ in 0..ROUNDS_MAX {
            let mut row = self.schedule_known(scope, id).await?;
            if row.paused.is_some() == pause.is_some() {
                return Ok(row);
            }
            let revision = row.revision;
            let now = self.core.now();
            row.paused = pause.cloned();
            if pause.is_none() {
                row.failures = 0;
                if row.backfill_of.is_none() {
                    row.cursor = row.cursor.max(now);
                }
            }
            row.updated_at = now;
            row.plan();
            if pause.is_none() {
                // What waited before the pause goes on.
                row.due = Some(now);
            }
            if let Some(row) = self.put_changed(row, revision).await? {
                return Ok(row);
            }
        }
        Err(busy())
    }

    /// Removes a schedule with its history and backfills, if the revision is the given
    /// one. Executions that it started go on. Tells whether it did.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a schedule,
    /// [`Conflict`](ErrorKind::Conflict) when it belongs to a definition.
    pub async fn schedule_delete(
        &self,
        scope: &Scope,
        id: ScheduleId,
        revision: Option<u64>,
    ) -> Result<bool, Error> {
        let row = self.schedule_known(scope, id).await?;
        if row.managed {
            let message = "the schedule is part of a definition; deploy a version without it, or \
                           pause it";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let store = &self.core.ports.store;
        store.schedule_delete(scope, id, revision).await
    }

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
    /// becomes of it, the schedule's own unless another is given.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a schedule.
    ///
    /// # Cancel safety
    /// A dropped future may leave the tick made.
    pub async fn schedule_trigger(
        &self,
        scope: &Scope,
        id: ScheduleId,
        overlap: Option<Overlap>,
    ) -> Result<TickRow, Error> {
        self.schedule_known(scope, id).await?;
        let store = &self.core.ports.store;
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
            let asked = Asked { overlap };
            let decision = decide(look, Some(asked), now, &self.core.options.expression);
            let tick = decision.asked.clone();
            self.core.carry_out(vec![decision]).await?;
            let wanted = tick.map_or(0, |tick| tick.sequence);
            let kept = store.schedule_ticks(scope, id, Some(wanted + 1), 1).await?;
            // Another worker may have taken the schedule before this was recorded.
            if let Some(tick) = kept.items.into_iter().find(|tick| tick.sequence == wanted) {
                self.core.bell.ring();
                return Ok(tick);
            }
        }
        Err(busy())
    }

    /// Makes the ticks of a range of the past, under an overlap policy of its own. The
    /// backfill is a schedule of its own, which can be paused, resumed and deleted.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) for a schedule that does not go by the clock
    /// or a range that is empty or reaches into the future,
    /// [`Limit`](ErrorKind::Limit) for a range with too many ticks.
    pub async fn schedule_backfill(
        &self,
        scope: &Scope,
        id: ScheduleId,
        (from, to): (Timestamp, Timestamp),
        overlap: Overlap,
    ) -> Result<ScheduleRow, Error> {
        let schedule = self.schedule_known(scope, id).await?;
        let now = self.core.now();
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
        let backfill = ScheduleId::generate(now, &*self.core.ports.entropy);
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
        self.core.ports.store.schedule_put(&row).await?;
        self.core.bell.ring();
        Ok(row)
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

    async fn schedule_known(&self, scope: &Scope, id: ScheduleId) -> Result<ScheduleRow, Error> {
        let found = self.schedule(scope, id).await?;
        found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such schedule").with("schedule", id)
        })
    }

    async fn put_changed(
        &self,
        mut row: ScheduleRow,
        revision: u64,
    ) -> Result<Option<ScheduleRow>, Error> {
        row.revision = revision + 1;
        let changed = self
            .core
            .ports
            .store
            .schedule_update(&row, revision)
            .await?;
        self.core.bell.ring();
        Ok(changed.then_some(row))
    }

    async fn check_schedule(&self, scope: &Scope, name: &str, spec: &Spec) -> Result<(), Error> {
        let mut found = spec.check();
        let mut wrong = |pointer: &str, message: String| {
            found.push(Violation {
                pointer: pointer.to_owned(),
                message,
            });
        };
        if name.trim().is_empty() || NAME_LENGTH_MAX < name.chars().count() {
            let message = format!("the name must have 1 to {NAME_LENGTH_MAX} characters");
            wrong("/name", message);
        }
        let version = spec.version.as_deref();
        let workflow = self
            .program(scope, &spec.namespace, &spec.workflow, version)
            .await?;
        match workflow {
            None => {
                let name = format!("{}/{}", spec.namespace, spec.workflow);
                let what = version.unwrap_or("any version");
                wrong("/workflow", format!("there is no workflow {name} ({what})"));
            }
            Some((_, program)) => {
                let literal = spec.input.as_ref().filter(|input| is_literal(input));
                let checked = literal.map_or(Ok(()), |input| program.check_input(input));
                for (pointer, message) in checked.err().unwrap_or_default() {
                    wrong(&format!("/input{pointer}"), message);
                }
            }
        }
        refuse(found)
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

fn refuse(found: Vec<Violation>) -> Result<(), Error> {
    let Some(first) = found.first() else {
        return Ok(());
    };
    let message = format!("the schedule is not valid: {}", first.message);
    Err(Error::new(ErrorKind::Invalid, message).with_violations(found))
}

fn is_literal(input: &serde_json::Value) -> bool {
    use crate::expression::{Mode, Template};
    Template::compile(input, &[], Mode::Strict).is_ok_and(|template| template.is_literal())
}

fn busy() -> Error {
    let message = "the schedule is being changed by others all the time; try again";
    Error::new(ErrorKind::Unavailable, message)
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_micros(1)).unwrap_or(at)
}

/// Gives from where equal distances count, and after which time ticks come.
fn beginning(policy: &Policy, now: Timestamp) -> (Timestamp, Timestamp) {
    match policy.starts_at {
        Some(start) => (start, just_before(start).max(now)),
        None => (now, now),
    }
}

/// Makes a schedule that begins now.
pub(super) fn new_row(
    scope: &Scope,
    (id, key): (ScheduleId, ScheduleKey),
    name: &str,
    spec: Spec,
    now: Timestamp,
) -> ScheduleRow {
    let backfill = matches!(key, ScheduleKey::Backfill(_));
    let (anchor, mut cursor) = beginning(&spec.policy, now);
    if let (true, Some(start)) = (backfill, spec.policy.starts_at) {
        cursor = just_before(start);
    }
    let mut row = ScheduleRow {
        id,
        tenant: scope.tenant(),
        key: key.to_string(),
        name: name.to_owned(),
        spec,
        managed: matches!(key, ScheduleKey::Definition(..)),
        backfill_of: None,
        revision: 1,
        paused: None,
        failures: 0,
        anchor,
        cursor,
        next: None,
        due: None,
        ticks: 0,
        watches: false,
        collecting: Vec::new(),
        claim: 0,
        created_at: now,
        updated_at: now,
    };
    row.plan();
    row
}

/// Replaces what a schedule says. New times count from now.
pub(super) fn replace_spec(row: &mut ScheduleRow, spec: Spec, now: Timestamp) {
    let same_times =
        row.spec.timing == spec.timing && row.spec.policy.starts_at == spec.policy.starts_at;
    row.spec = spec;
    if !same_times {
        (row.anchor, row.cursor) = beginning(&row.spec.policy, now);
        row.collecting.clear();
    }
    row.failures = 0;
    row.updated_at = now;
    row.plan();
    if row.paused.is_none() {
        // What waited under the old rules is looked at under the new ones.
        row.due = Some(now);
    }
}
