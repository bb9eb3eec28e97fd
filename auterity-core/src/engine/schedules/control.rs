//! Making, changing, pausing and deleting schedules.

use jiff::{SignedDuration, Timestamp};

use crate::engine::handle::Handle;
use crate::schedule::{Policy, Spec};
use crate::store::{Pause, ScheduleKey, SchedulePut, ScheduleRow};
use crate::{Error, ErrorKind, ScheduleId, Scope, Violation};

/// Characters of a schedule's name.
const NAME_LENGTH_MAX: usize = 200;
/// Characters of the reason of a pause.
const REASON_LENGTH_MAX: usize = 1_000;
/// How often a change is tried again when others change the schedule at the same time.
pub(super) const ROUNDS_MAX: u32 = 10;

/// What making a schedule gave.
#[derive(Debug, Clone)]
pub struct ScheduleCreated {
    /// The schedule.
    pub row: ScheduleRow,
    /// Whether it had been made before, with the same idempotency key.
    pub existing: bool,
}

impl Handle {
    /// Makes a schedule. A repeated call with the same idempotency key finds the first.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) with [violations](Error::violations),
    /// [`Conflict`](ErrorKind::Conflict) when the name is taken, or the key was used for
    /// another schedule (then the context has `idempotency_key`),
    /// [`Limit`](ErrorKind::Limit) when the tenant has as many as it may have.
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
        let most = self.core.options.schedules_max;
        match self.core.ports.store.schedule_put(&row, most).await? {
            SchedulePut::Created => {
                self.core.bell.ring();
                Ok(ScheduleCreated {
                    row,
                    existing: false,
                })
            }
            SchedulePut::Exists(found) => match idempotency_key {
                Some(key) if found == id => {
                    let first = self.schedule_known(scope, id).await?;
                    // What was changed since says nothing about the first call.
                    let same = first.revision != row.revision || first.spec == row.spec;
                    first_of(first, key, |first| same && first.name == name)
                }
                _ => {
                    let message = format!("there is a schedule named {name:?} already");
                    Err(Error::new(ErrorKind::Conflict, message).with("schedule", found))
                }
            },
            SchedulePut::Full => {
                let message = format!("a tenant has at most {most} schedules; delete some first");
                Err(Error::new(ErrorKind::Limit, message))
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

    pub(super) async fn schedule_known(
        &self,
        scope: &Scope,
        id: ScheduleId,
    ) -> Result<ScheduleRow, Error> {
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

/// Gives what the first call with a key made, if that is what this one asks for.
pub(super) fn first_of(
    first: ScheduleRow,
    key: &str,
    is_same: impl FnOnce(&ScheduleRow) -> bool,
) -> Result<ScheduleCreated, Error> {
    if !is_same(&first) {
        let message = "the idempotency key belongs to an earlier call with another content; use a \
                       new key";
        let error = Error::new(ErrorKind::Conflict, message);
        return Err(error
            .with("schedule", first.id)
            .with("idempotency_key", key));
    }
    Ok(ScheduleCreated {
        row: first,
        existing: true,
    })
}

/// Refuses a schedule with mistakes.
pub(super) fn refuse(found: Vec<Violation>) -> Result<(), Error> {
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

/// Says that a change did not come through.
pub(super) fn busy() -> Error {
    let message = "the schedule is being changed by others all the time; try again";
    Error::new(ErrorKind::Unavailable, message)
}

/// Gives the last moment before another.
pub(super) fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_micros(1)).unwrap_or(at)
}

/// Gives from where equal distances count, and after which time ticks come.
pub(super) fn beginning(policy: &Policy, now: Timestamp) -> (Timestamp, Timestamp) {
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
