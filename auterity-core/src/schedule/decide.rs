//! What follows from all that is known about a schedule at a moment.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::collect::Collector;
use super::plan::{earlier, later};
use super::spec::{CatchUp, Overlap, Timing};
use super::timing::Calendar;
use crate::expression::Budget;
use crate::store::{Look, Pause, ScheduleChange, ScheduleRow, TickKind, TickRow, TickState};
use crate::{ExecutionId, InboxId};

/// Ticks that one decision makes at most; the rest follows with the next.
const BATCH_MAX: usize = 100;
/// Ticks of a schedule that wait at most. Beyond that its time stands still, and the
/// catch-up policy says what becomes of the ticks that pass.
const QUEUE_MAX: usize = 100;
/// How late a tick may be before it counts as missed.
const MISSED_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// Ticks that are remembered at least; older ones are forgotten now and then.
const KEPT: u64 = 1_000;
const FORGET_EVERY: u64 = 100;

/// A tick that a person asks for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Under what it can be there once.
    pub(crate) identity: String,
    /// Overrides the schedule's own policy.
    pub(crate) overlap: Option<Overlap>,
}

/// What a worker is to record, and to do after that.
#[derive(Debug)]
pub(crate) struct Decision {
    /// What to record. The due time of its row is when to look again after all is done.
    pub(crate) change: ScheduleChange,
    /// Ticks to start.
    pub(crate) start: Vec<TickRow>,
    /// Executions to cancel.
    pub(crate) cancel: Vec<ExecutionId>,
}

/// Decides. The same look at the same time gives the same decision.
pub(crate) fn decide(
    look: Look,
    asked: Option<Asked>,
    now: Timestamp,
    budget: &Budget,
) -> Decision {
    let Look { row, open, events } = look;
    let before = row.ticks;
    let mut work = Work {
        row,
        open,
        changed: Vec::new(),
        cancel: Vec::new(),
        fresh: Vec::new(),
        consumed: Vec::new(),
        more: false,
        blocked: false,
        now,
    };
    work.close_ended();
    if work.row.paused.is_none() {
        work.promote();
    }
    if let Some(asked) = asked {
        work.asked(asked);
    }
    if work.row.paused.is_none() {
        work.by_time();
        work.by_delay();
        work.by_events(&events, budget);
    } else {
        // An event that comes while the schedule stands still starts nothing, ever.
        work.consumed = events.iter().map(|event| event.id).collect();
        work.row.next = None;
    }
    work.finish(before)
}

/// Takes note of starts that succeeded or failed; gives the ticks as they are then.
pub(crate) fn after_starts(
    row: &mut ScheduleRow,
    ticks: Vec<TickRow>,
    failed: &[(u64, String)],
    now: Timestamp,
) -> Vec<TickRow> {
    let mut again = false;
    let noted = ticks.into_iter().map(|mut tick| {
        match failed
            .iter()
            .find(|(sequence, _)| *sequence == tick.sequence)
        {
            None => {
                tick.state = TickState::Started;
                tick.open = row.watches;
            }
            Some((_, reason)) => {
                tick.state = TickState::Failed;
                tick.reason = Some(reason.clone());
                tick.open = false;
                tick.ended_at = Some(now);
                row.failures = row.failures.saturating_add(1);
                row.cursor = match row.spec.timing {
                    Timing::After(_) => now,
                    _ => row.cursor,
                };
                again = true;
            }
        }
        tick
    });
    let noted = noted.collect();
    if again && !pause_if_failing(row, now) {
        // What waited for these ticks need not wait any longer.
        row.due = Some(now);
    }
    noted
}

/// Pauses a schedule whose executions keep failing; tells whether it did.
fn pause_if_failing(row: &mut ScheduleRow, now: Timestamp) -> bool {
    let most = row.spec.policy.pause_after_failures;
    if row.paused.is_some() || most.is_none_or(|most| row.failures < most) {
        return false;
    }
    row.paused = Some(Pause {
        reason: Some(format!("{} executions in a row failed", row.failures)),
        at: now,
        by_failures: true,
    });
    row.next = None;
    row.due = None;
    true
}

/// A tick before the policy decided about it.
struct Candidate {
    kind: TickKind,
    identity: String,
    nominal: Timestamp,
    events: Option<Arc<str>>,
}

struct Work {
    row: ScheduleRow,
    open: Vec<TickRow>,
    /// Ticks that are new or not what they were, by their place in `open` or on their own.
    changed: Vec<TickRow>,
    cancel: Vec<ExecutionId>,
    /// Ticks that became due in this decision, so that nothing of them has started.
    fresh: Vec<u64>,
    consumed: Vec<InboxId>,
    /// There is more to decide than one decision takes.
    more: bool,
    /// Nothing goes on before an execution ends.
    blocked: bool,
    now: Timestamp,
}

impl Work {
    /// Takes note of executions that ended.
    fn close_ended(&mut self) {
        for mut tick in std::mem::take(&mut self.open) {
            match tick.state {
                TickState::Completed => self.row.failures = 0,
                TickState::Faulted => self.row.failures = self.row.failures.saturating_add(1),
                TickState::Queued | TickState::Due | TickState::Started => {
                    self.open.push(tick);
                    continue;
                }
                _ => {}
            }
            if matches!(self.row.spec.timing, Timing::After(_)) {
                let ended = tick.ended_at.unwrap_or(self.now);
                self.row.cursor = self.row.cursor.max(ended);
            }
            tick.open = false;
            self.changed.push(tick);
        }
        pause_if_failing(&mut self.row, self.now);
    }

    /// Starts what waited, if nothing stands in its way any more.
    fn promote(&mut self) {
        let all = self.row.spec.policy.overlap == Overlap::Allow;
        while all || self.count(&[TickState::Due, TickState::Started]) == 0 {
            let queued = self
                .open
                .iter_mut()
                .find(|tick| tick.state == TickState::Queued);
            let Some(tick) = queued else { return };
            tick.state = TickState::Due;
            self.fresh.push(tick.sequence);
            self.changed.push(tick.clone());
        }
    }

    fn count(&self, states: &[TickState]) -> usize {
        let wanted = self.open.iter().filter(|tick| states.contains(&tick.state));
        wanted.count()
    }

    fn asked(&mut self, asked: Asked) {
        let overlap = asked.overlap.unwrap_or(self.row.spec.policy.overlap);
        let candidate = Candidate {
            kind: TickKind::Trigger,
            identity: asked.identity,
            nominal: self.now,
            events: None,
        };
        if let Err(candidate) = self.admit(candidate, overlap) {
            let reason = format!("{QUEUE_MAX} ticks wait already");
            self.leave_out(candidate, TickState::Skipped, reason);
        }
    }

    /// Decides about ticks whose nominal time has come.
    fn by_time(&mut self) {
        let Some(calendar) = Calendar::of(&self.row.spec.timing, self.row.anchor) else {
            return;
        };
        let end = self.row.spec.policy.ends_at.unwrap_or(Timestamp::MAX);
        let reach = earlier(self.now, self.row.delay()).min(end);
        let overlap = self.row.spec.policy.overlap;
        self.catch_up(&calendar, reach);
        for _ in 0..BATCH_MAX {
            let next = calendar.next_after(self.row.cursor);
            let Some(nominal) = next.filter(|next| *next <= reach) else {
                self.row.next = next.filter(|next| *next <= end);
                return;
            };
            let candidate = Candidate {
                kind: match self.row.backfill_of {
                    Some(_) => TickKind::Backfill,
                    None => TickKind::Time,
                },
                identity: format!("t:{}", nominal.as_microsecond()),
                nominal,
                events: None,
            };
            if self.admit(candidate, overlap).is_err() {
                self.row.next = Some(nominal);
                self.blocked = true;
                return;
            }
            self.row.cursor = nominal;
        }
        self.row.next = calendar
            .next_after(self.row.cursor)
            .filter(|next| *next <= end);
        self.more = self.row.next.is_some_and(|next| next <= reach);
    }

    /// Leaves out what was missed and is not to be made up for.
    fn catch_up(&mut self, calendar: &Calendar, reach: Timestamp) {
        let punctual = earlier(reach, MISSED_AFTER);
        let first = calendar.next_after(self.row.cursor);
        let Some(first) = first.filter(|first| *first < punctual) else {
            return;
        };
        let before = |at: Timestamp| earlier(at, SignedDuration::from_nanos(1));
        let resume = match self.row.spec.policy.catch_up {
            CatchUp::All => return,
            CatchUp::None => before(punctual),
            CatchUp::Window(window) => before(earlier(reach, window)),
            CatchUp::Last => match calendar.last_until(reach) {
                Some(last) => before(last),
                None => return,
            },
        };
        if resume < first {
            return;
        }
        let candidate = Candidate {
            kind: TickKind::Time,
            identity: format!("m:{}", first.as_microsecond()),
            nominal: first,
            events: None,
        };
        let reason =
            format!("the ticks from {first} to {resume:.0} passed while nothing started them");
        self.leave_out(candidate, TickState::Missed, reason);
        self.row.cursor = resume;
    }

    /// Decides about the tick that follows the end of the last one.
    fn by_delay(&mut self) {
        let Timing::After(delay) = self.row.spec.timing else {
            return;
        };
        let end = self.row.spec.policy.ends_at;
        let next = self.row.after_delay(delay);
        self.row.next = next.filter(|next| {
            let under_way = !self.open.is_empty();
            !under_way && end.is_none_or(|end| *next <= end)
        });
        let Some(nominal) = self
            .row
            .next
            .filter(|next| later(*next, self.row.delay()) <= self.now)
        else {
            return;
        };
        let candidate = Candidate {
            kind: TickKind::Time,
            identity: format!("t:{}", nominal.as_microsecond()),
            nominal,
            events: None,
        };
        self.row.next = None;
        // Nothing is under way, so every policy lets it start.
        drop(self.admit(candidate, Overlap::Allow));
    }

    /// Decides about events.
    fn by_events(&mut self, events: &[crate::store::ScheduleEvent], budget: &Budget) {
        let Some(collector) = Collector::of(&self.row.spec.timing, self.now, budget) else {
            return;
        };
        let policy = &self.row.spec.policy;
        let overlap = policy.overlap;
        let wanted = policy.starts_at.is_none_or(|start| start <= self.now)
            && policy.ends_at.is_none_or(|end| self.now <= end);
        for event in events {
            if self.is_full(overlap) {
                self.blocked = true;
                return;
            }
            self.consumed.push(event.id);
            let Ok(value) = serde_json::from_str::<Value>(&event.payload) else {
                continue;
            };
            if !wanted {
                continue;
            }
            let mut groups = std::mem::take(&mut self.row.collecting);
            let fired = collector.take(&mut groups, event.id, value);
            self.row.collecting = groups;
            let Some(fired) = fired else { continue };
            let candidate = Candidate {
                kind: TickKind::Event,
                identity: fired.identity,
                nominal: event.at,
                events: serde_json::to_string(&fired.events).ok().map(Arc::from),
            };
            // Room was made sure of above.
            drop(self.admit(candidate, overlap));
        }
        self.more |= BATCH_MAX <= events.len();
    }

    fn is_full(&self, overlap: Overlap) -> bool {
        overlap == Overlap::QueueAll && QUEUE_MAX <= self.count(&[TickState::Queued])
    }

    /// Makes a tick of a candidate as the policy says; gives it back if there is no room.
    fn admit(&mut self, candidate: Candidate, overlap: Overlap) -> Result<TickRow, Candidate> {
        if self.is_full(overlap) {
            return Err(candidate);
        }
        let active = self.count(&[TickState::Due, TickState::Started]);
        let queued = self.count(&[TickState::Queued]);
        let busy = 0 < active + queued;
        let state = match overlap {
            Overlap::Allow => TickState::Due,
            _ if !busy => TickState::Due,
            Overlap::Skip => {
                let reason = "an execution of the schedule was still active";
                return Ok(self.leave_out(candidate, TickState::Skipped, reason));
            }
            Overlap::QueueOne if 0 < queued => {
                let reason = "another tick was waiting already";
                return Ok(self.leave_out(candidate, TickState::Skipped, reason));
            }
            Overlap::Cancel => self.make_way(),
            Overlap::QueueOne | Overlap::QueueAll => TickState::Queued,
        };
        let tick = self.tick(candidate, state, None);
        if state == TickState::Due {
            self.fresh.push(tick.sequence);
        }
        self.open.push(tick.clone());
        self.changed.push(tick.clone());
        Ok(tick)
    }

    /// Leaves out whatever did not start yet, cancels what did, and says whether the
    /// newest tick has to wait for that.
    fn make_way(&mut self) -> TickState {
        for mut tick in std::mem::take(&mut self.open) {
            // One that was due before may have been started before a crash.
            let fresh = self.fresh.contains(&tick.sequence);
            if tick.state != TickState::Queued && !fresh {
                self.cancel.extend(tick.execution);
                self.open.push(tick);
                continue;
            }
            tick.state = TickState::Skipped;
            tick.open = false;
            tick.execution = None;
            tick.reason = Some("a newer tick took its place".to_owned());
            self.changed.push(tick);
        }
        if self.open.is_empty() {
            TickState::Due
        } else {
            TickState::Queued
        }
    }

    fn leave_out(
        &mut self,
        candidate: Candidate,
        state: TickState,
        reason: impl Into<String>,
    ) -> TickRow {
        let tick = self.tick(candidate, state, Some(reason.into()));
        self.changed.push(tick.clone());
        tick
    }

    fn tick(&mut self, candidate: Candidate, state: TickState, reason: Option<String>) -> TickRow {
        let Candidate {
            kind,
            identity,
            nominal,
            events,
        } = candidate;
        self.row.ticks += 1;
        let open = matches!(state, TickState::Due | TickState::Queued);
        TickRow {
            schedule: self.row.id,
            sequence: self.row.ticks,
            execution: open.then(|| ExecutionId::of_tick(self.row.id, &identity, nominal)),
            identity,
            kind,
            nominal,
            state,
            open,
            reason,
            events,
            decided_at: self.now,
            ended_at: None,
        }
    }

    fn finish(mut self, before: u64) -> Decision {
        self.row.watches = self.row.has_to_watch();
        let waits = self.blocked || self.row.paused.is_some();
        self.row.due = match self.row.next {
            _ if waits => None,
            _ if self.more => Some(self.now),
            next => next.map(|next| later(next, self.row.delay())),
        };
        let start = self.open.iter().filter(|tick| tick.state == TickState::Due);
        let start = start.cloned().collect();
        // Of a tick that changed twice, the last word counts.
        let mut ticks: Vec<TickRow> = Vec::with_capacity(self.changed.len());
        for tick in self.changed {
            match ticks
                .iter_mut()
                .find(|known| known.sequence == tick.sequence)
            {
                Some(known) => *known = tick,
                None => ticks.push(tick),
            }
        }
        let rounds = |ticks: u64| ticks / FORGET_EVERY;
        let forget = (rounds(before) < rounds(self.row.ticks))
            .then(|| self.row.ticks.saturating_sub(KEPT))
            .filter(|sequence| *sequence != 0);
        Decision {
            change: ScheduleChange {
                row: self.row,
                ticks,
                consumed: self.consumed,
                forget,
                holds: false,
                at: self.now,
            },
            start,
            cancel: self.cancel,
        }
    }
}
