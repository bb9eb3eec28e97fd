//! Carries decisions out: records them, starts and cancels executions, records that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::HOLD;
use crate::engine::handle::Handle;
use crate::engine::life::Core;
use crate::engine::start::{Origin, StartRequest};
use crate::expression::{Mode, Template, Variables};
use crate::schedule::{Decision, after_starts};
use crate::store::{ScheduleChange, ScheduleRow, TickRow};
use crate::{Actor, Error, ErrorKind, ExecutionId, ScheduleId, Scope};

/// Starts under way at once, so that a crowd of ticks leaves room for everybody else.
const STARTS_MAX: usize = 32;

/// After how long a start is tried again that the database could not take.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// The starts that are under way in this process.
///
/// A schedule may be taken from its worker in the middle of a start. Whoever decides
/// then leaves that start alone: two entries of one execution cannot be in one batch of
/// the journal.
#[derive(Debug, Default)]
pub(in crate::engine) struct Beginning(Mutex<HashSet<ExecutionId>>);

/// One start under way, until it is dropped.
struct Mark<'a> {
    beginning: &'a Beginning,
    id: ExecutionId,
}

impl Beginning {
    /// Marks a start, unless it is under way already.
    fn mark(&self, id: ExecutionId) -> Option<Mark<'_>> {
        let fresh = self.lock().insert(id);
        fresh.then_some(Mark {
            beginning: self,
            id,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ExecutionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.beginning.lock().remove(&self.id);
    }
}

/// What is to be done for one schedule.
struct Busy {
    row: Arc<ScheduleRow>,
    start: Vec<TickRow>,
    cancel: Vec<ExecutionId>,
}

/// What came of a start.
enum Begun {
    Started,
    Failed(String),
    /// Nobody knows; it is tried again under the same id.
    Unknown,
}

impl Core {
    /// Records decisions, then does what they say, then records what came of it. Gives
    /// the schedules whose decision was recorded.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        decisions: Vec<Decision>,
    ) -> Result<Vec<ScheduleId>, Error> {
        let now = self.now();
        let mut changes = Vec::with_capacity(decisions.len());
        let mut busy = Vec::new();
        for decision in decisions {
            let Decision {
                mut change,
                start,
                cancel,
            } = decision;
            if !start.is_empty() || !cancel.is_empty() {
                busy.push(Busy {
                    row: Arc::new(change.row.clone()),
                    start,
                    cancel,
                });
                change.holds = true;
                change.row.due = Some(now + HOLD);
            }
            changes.push(change);
        }
        let store = &self.ports.store;
        // What was edited, paused or taken by another meanwhile is left to its next look.
        let kept = store.schedule_commit(&changes).await?;
        busy.retain(|busy| kept.contains(&busy.row.id));
        if busy.is_empty() {
            return Ok(kept);
        }
        let mut begun = self.begin_all(&busy).await;
        let mut changes = Vec::with_capacity(busy.len());
        for Busy { row, start, .. } in busy {
            let begun = begun.remove(&row.id).unwrap_or_default();
            changes.push(self.noted(Arc::unwrap_or_clone(row), start, begun));
        }
        store.schedule_commit(&changes).await?;
        Ok(kept)
    }

    /// Starts and cancels what the decisions say, a bounded number at a time.
    async fn begin_all(self: &Arc<Self>, busy: &[Busy]) -> HashMap<ScheduleId, Vec<(u64, Begun)>> {
        let mut starts = Vec::new();
        for Busy { row, start, .. } in busy {
            let all = start.iter();
            starts.extend(all.map(|tick| begin(Arc::clone(self), Arc::clone(row), tick.clone())));
        }
        let mut begun: HashMap<ScheduleId, Vec<(u64, Begun)>> = HashMap::new();
        let mut under_way = stream::iter(starts).buffer_unordered(STARTS_MAX);
        while let Some((id, sequence, came)) = under_way.next().await {
            begun.entry(id).or_default().push((sequence, came));
        }
        // After the starts: one of them may be a start that is repeated after a crash.
        for Busy { row, cancel, .. } in busy {
            for id in cancel {
                self.cancel_for(row, *id).await;
            }
        }
        begun
    }

    fn noted(
        &self,
        mut row: ScheduleRow,
        start: Vec<TickRow>,
        begun: Vec<(u64, Begun)>,
    ) -> ScheduleChange {
        let now = self.now();
        let mut failed = Vec::new();
        let mut unknown = Vec::new();
        for (sequence, came) in begun {
            match came {
                Begun::Started => {}
                Begun::Failed(reason) => failed.push((sequence, reason)),
                Begun::Unknown => unknown.push(sequence),
            }
        }
        let known = start
            .into_iter()
            .filter(|tick| !unknown.contains(&tick.sequence));
        let ticks = after_starts(&mut row, known.collect(), &failed, now);
        if !unknown.is_empty() {
            let again = now + AGAIN_AFTER;
            row.due = Some(row.due.map_or(again, |due| due.min(again)));
        }
        ScheduleChange {
            row,
            ticks,
            consumed: Vec::new(),
            forget: None,
            holds: false,
            at: now,
        }
    }

    async fn begin_with(
        self: &Arc<Self>,
        row: &ScheduleRow,
        tick: &TickRow,
        input: Value,
    ) -> Begun {
        let mark = tick.execution.map(|id| self.beginning.mark(id));
        if matches!(mark, Some(None)) {
            return Begun::Unknown;
        }
        let spec = &row.spec;
        let schedule = row.backfill_of.unwrap_or(row.id);
        let attributes = BTreeMap::from([
            ("schedule".to_owned(), schedule.to_string()),
            ("scheduled_at".to_owned(), tick.nominal.to_string()),
        ]);
        let request = StartRequest {
            namespace: spec.namespace.clone(),
            name: spec.workflow.clone(),
            version: spec.version.clone(),
            input,
            attributes,
            priority: spec.priority,
            ..StartRequest::default()
        };
        let origin = Origin {
            id: tick.execution,
            ..Origin::default()
        };
        match self.start(&self.acting_for(row), request, origin).await {
            Ok(_) => Begun::Started,
            // Whoever has the lease by then starts it.
            Err(error) if error.is_retryable() || error.kind() == ErrorKind::Fenced => {
                Begun::Unknown
            }
            Err(error) => Begun::Failed(reason(&error)),
        }
    }

    /// Gives the input of a tick's execution.
    fn tick_input(&self, row: &ScheduleRow, tick: &TickRow) -> Result<Value, String> {
        let events: Option<Value> = tick
            .events
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        let Some(input) = &row.spec.input else {
            return Ok(events.unwrap_or_else(|| json!({})));
        };
        let template = Template::compile(input, &[], Mode::Strict)
            .map_err(|_| "an expression of the input cannot be read".to_owned())?;
        let seen = json!({
            "scheduled_at": tick.nominal.to_string(),
            "schedule": { "id": row.id.to_string(), "name": row.name },
            "events": events,
        });
        template
            .evaluate(
                &seen,
                &Variables::new(tick.decided_at),
                &self.options.expression,
            )
            .map_err(|error| format!("an expression of the input failed: {error}"))
    }

    async fn cancel_for(self: &Arc<Self>, row: &ScheduleRow, id: ExecutionId) {
        let handle = Handle::new(Arc::clone(self), true);
        let reason = "its schedule started a newer one".to_owned();
        match handle.cancel(&self.acting_for(row), id, Some(reason)).await {
            Ok(()) => {}
            // It ended meanwhile, or never started.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
            // The waiting tick stays in the queue and cancels again when the next comes.
            Err(error) => tracing::warn!(error = %error, execution = %id, "not cancelled"),
        }
    }

    /// Gives the scope in which the engine acts for a schedule.
    pub(super) fn acting_for(&self, row: &ScheduleRow) -> Scope {
        match self.life() {
            Some(life) => life.scope(row.tenant),
            None => Scope::new(row.tenant, Actor::Host),
        }
    }
}

/// Starts the execution of a tick.
async fn begin(core: Arc<Core>, row: Arc<ScheduleRow>, tick: TickRow) -> (ScheduleId, u64, Begun) {
    let begun = match core.tick_input(&row, &tick) {
        Ok(input) => core.begin_with(&row, &tick, input).await,
        Err(reason) => Begun::Failed(reason),
    };
    (row.id, tick.sequence, begun)
}

/// Says why a start failed, with the first place of a wrong input.
fn reason(error: &Error) -> String {
    match error.violations().first() {
        Some(first) if error.kind() == ErrorKind::Invalid => {
            format!("{}: {} {}", error.message(), first.pointer, first.message)
        }
        _ => error.message().to_owned(),
    }
}
