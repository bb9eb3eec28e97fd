//! Schedules in memory.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, page};
use crate::store::schedules::{EVENTS_MAX, OPEN_MAX};
use crate::store::{
    Claimed, ListedSchedule, Look, Page, ScheduleChange, ScheduleClaim, ScheduleEvent, SchedulePut,
    ScheduleQuery, ScheduleRow, ScheduleStore, StartedTick, Subscription, TickRow, TickState,
    check,
};
use crate::{Error, ExecutionId, InboxId, ScheduleId, Scope, TenantId};

/// All schedules.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    kept: BTreeMap<ScheduleId, Kept>,
    keys: BTreeMap<(TenantId, String), ScheduleId>,
    due: BTreeSet<(Timestamp, ScheduleId)>,
    started: BTreeMap<ExecutionId, (ScheduleId, u64)>,
    listening: BTreeMap<TenantId, BTreeSet<ScheduleId>>,
}

#[derive(Debug)]
struct Kept {
    row: ScheduleRow,
    ticks: BTreeMap<u64, TickRow>,
    events: Vec<ScheduleEvent>,
    /// The ids of all events ever put.
    known: BTreeSet<InboxId>,
    /// Something happened since the last claim.
    rung: bool,
}

impl Schedules {
    /// Lists the subscriptions of a tenant's schedules for a type of events.
    pub(super) fn subscriptions(&self, tenant: TenantId, event_type: &str) -> Vec<Subscription> {
        let listening = self.listening.get(&tenant).into_iter().flatten();
        let rows = listening.filter_map(|id| self.kept.get(id));
        let all = rows.flat_map(|kept| kept.row.subscriptions());
        all.filter(|one| check::event_type_key(one).is_none_or(|wanted| wanted == event_type))
            .collect()
    }

    /// Counts a tenant's schedules without backfills.
    fn count(&self, tenant: TenantId) -> usize {
        let all = self.kept.values().map(|kept| &kept.row);
        all.filter(|row| row.tenant == tenant && row.backfill_of.is_none())
            .count()
    }

    fn place(&mut self, row: ScheduleRow) {
        let id = row.id;
        let Some(kept) = self.kept.get_mut(&id) else {
            return;
        };
        if let Some(due) = kept.row.due {
            self.due.remove(&(due, id));
        }
        if let Some(due) = row.due {
            self.due.insert((due, id));
        }
        kept.row = row;
    }

    fn listen(&mut self, row: &ScheduleRow) {
        let listening = self.listening.entry(row.tenant).or_default();
        if row.subscriptions().is_empty() {
            listening.remove(&row.id);
        } else {
            listening.insert(row.id);
        }
    }

    /// Makes a schedule due now.
    fn ring(&mut self, id: ScheduleId, now: Timestamp) {
        let Some(kept) = self.kept.get_mut(&id) else {
            return;
        };
        kept.rung = true;
        let mut row = kept.row.clone();
        row.due = Some(row.due.map_or(now, |due| due.min(now)));
        self.place(row);
    }

    fn remove(&mut self, id: ScheduleId) {
        let Some(kept) = self.kept.remove(&id) else {
            return;
        };
        if let Some(due) = kept.row.due {
            self.due.remove(&(due, id));
        }
        self.keys.remove(&(kept.row.tenant, kept.row.key.clone()));
        self.started.retain(|_, (schedule, _)| *schedule != id);
        if let Some(listening) = self.listening.get_mut(&kept.row.tenant) {
            listening.remove(&id);
        }
    }

    fn claim(&mut self, id: ScheduleId, request: &ScheduleClaim) -> Option<Look> {
        let kept = self.kept.get_mut(&id)?;
        kept.rung = false;
        let mut row = kept.row.clone();
        row.claim += 1;
        row.due = Some(request.now + request.hold);
        let mut open: Vec<TickRow> = kept
            .ticks
            .values()
            .filter(|tick| tick.open)
            .cloned()
            .collect();
        open.sort_by_key(|tick| (tick.state == TickState::Started, tick.sequence));
        open.truncate(OPEN_MAX as usize);
        let events = kept.events.iter();
        let look = Look {
            row: row.clone(),
            open,
            events: events.take(EVENTS_MAX as usize).cloned().collect(),
        };
        self.place(row);
        Some(look)
    }

    fn commit(&mut self, change: &ScheduleChange) -> bool {
        let id = change.row.id;
        let Some(kept) = self.kept.get_mut(&id) else {
            return false;
        };
        if kept.row.claim != change.row.claim {
            return false;
        }
        let mut row = change.row.clone();
        if kept.rung && !change.holds {
            row.due = Some(row.due.map_or(change.at, |due| due.min(change.at)));
        }
        for tick in &change.ticks {
            let known = kept.ticks.get(&tick.sequence);
            let repeated = known.is_none()
                && kept
                    .ticks
                    .values()
                    .any(|other| other.identity == tick.identity);
            if repeated {
                continue;
            }
            if let Some(execution) = tick.execution {
                if tick.state == TickState::Started {
                    self.started.insert(execution, (id, tick.sequence));
                } else {
                    self.started.remove(&execution);
                }
            }
            kept.ticks.insert(tick.sequence, tick.clone());
        }
        kept.events
            .retain(|event| !change.consumed.contains(&event.id));
        if let Some(forget) = change.forget {
            kept.ticks
                .retain(|sequence, tick| forget < *sequence || tick.open);
        }
        self.place(row);
        true
    }

    fn settle(&mut self, now: Timestamp, ended: &StartedTick) {
        let Some((state, at)) = ended.ended else {
            return;
        };
        let Some(kept) = self.kept.get_mut(&ended.schedule) else {
            return;
        };
        let watches = kept.row.watches;
        let tick = kept.ticks.get_mut(&ended.sequence);
        let Some(tick) = tick.filter(|tick| tick.state == TickState::Started) else {
            return;
        };
        tick.state = state;
        tick.ended_at = Some(at.unwrap_or(now));
        tick.open = watches;
        self.started.remove(&ended.execution);
        if watches {
            self.ring(ended.schedule, now);
        }
    }
}

#[async_trait]
impl ScheduleStore for MemoryStore {
    async fn schedule_put(&self, row: &ScheduleRow, most: u32) -> Result<SchedulePut, Error> {
        check::schedule(row)?;
        let mut state = self.state();
        let schedules = &mut state.schedules;
        let key = (row.tenant, row.key.clone());
        if let Some(id) = schedules.keys.get(&key) {
            return Ok(SchedulePut::Exists(*id));
        }
        if schedules.kept.contains_key(&row.id) {
            return Ok(SchedulePut::Exists(row.id));
        }
        if row.backfill_of.is_none() && most as usize <= schedules.count(row.tenant) {
            return Ok(SchedulePut::Full);
        }
        schedules.keys.insert(key, row.id);
        let kept = Kept {
            row: ScheduleRow {
                due: None,
                ..row.clone()
            },
            ticks: BTreeMap::new(),
            events: Vec::new(),
            known: BTreeSet::new(),
            rung: false,
        };
        schedules.kept.insert(row.id, kept);
        schedules.place(row.clone());
        schedules.listen(row);
        Ok(SchedulePut::Created)
    }

    async fn schedule_update(&self, row: &ScheduleRow, revision: u64) -> Result<bool, Error> {
        check::schedule(row)?;
        let mut state = self.state();
        let schedules = &mut state.schedules;
        let kept = schedules.kept.get(&row.id);
        let current =
            kept.filter(|kept| kept.row.revision == revision && kept.row.tenant == row.tenant);
        let Some(claim) = current.map(|kept| kept.row.claim) else {
            return Ok(false);
        };
        let row = ScheduleRow {
            claim: claim + 1,
            ..row.clone()
        };
        if let (true, Some(kept)) = (row.watches, schedules.kept.get_mut(&row.id)) {
            for tick in kept.ticks.values_mut() {
                tick.open |= tick.state == TickState::Started;
            }
        }
        schedules.listen(&row);
        let ticks = schedules
            .kept
            .get(&row.id)
            .map_or(row.ticks, |kept| kept.row.ticks);
        schedules.place(ScheduleRow { ticks, ..row });
        Ok(true)
    }

    async fn schedule_fetch(
        &self,
        scope: &Scope,
        id: ScheduleId,
    ) -> Result<Option<ScheduleRow>, Error> {
        let state = self.state();
        let kept = state.schedules.kept.get(&id);
        let own = kept.filter(|kept| kept.row.tenant == scope.tenant());
        Ok(own.map(|kept| kept.row.clone()))
    }

    async fn schedule_list(
        &self,
        scope: &Scope,
        query: &ScheduleQuery,
    ) -> Result<Page<ListedSchedule>, Error> {
        let state = self.state();
        let wanted = state.schedules.kept.values().filter(|kept| {
            let row = &kept.row;
            let workflow = query.workflow.as_ref().is_none_or(|(namespace, name)| {
                row.spec.namespace == *namespace && row.spec.workflow == *name
            });
            row.tenant == scope.tenant() && row.backfill_of == query.backfills_of && workflow
        });
        let mut found: Vec<&Kept> = wanted.collect();
        found.sort_by(|one, other| {
            (&one.row.name, one.row.id).cmp(&(&other.row.name, other.row.id))
        });
        let after = found.into_iter().filter(|kept| {
            let after = query.after.as_ref();
            after.is_none_or(|(name, id)| (name, id) < (&kept.row.name, &kept.row.id))
        });
        let listed = after.map(|kept| ListedSchedule {
            row: kept.row.clone(),
            last: kept.ticks.values().next_back().cloned(),
        });
        Ok(page(listed, query.limit))
    }

    async fn schedule_delete(
        &self,
        scope: &Scope,
        id: ScheduleId,
        revision: Option<u64>,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        let schedules = &mut state.schedules;
        let found = schedules.kept.get(&id).is_some_and(|kept| {
            kept.row.tenant == scope.tenant()
                && revision.is_none_or(|revision| revision == kept.row.revision)
        });
        if !found {
            return Ok(false);
        }
        let all = schedules.kept.values();
        let backfills = all.filter(|kept| kept.row.backfill_of == Some(id));
        let mut gone: Vec<ScheduleId> = backfills.map(|kept| kept.row.id).collect();
        gone.push(id);
        for id in gone {
            schedules.remove(id);
        }
        Ok(true)
    }

    async fn schedule_claim(&self, request: ScheduleClaim) -> Result<Claimed, Error> {
        let mut state = self.state();
        let schedules = &mut state.schedules;
        let due: Vec<ScheduleId> = match request.only {
            Some(id) => vec![id],
            None => schedules
                .due
                .iter()
                .take_while(|(due, _)| *due <= request.now)
                .take(request.limit as usize)
                .map(|(_, id)| *id)
                .collect(),
        };
        let looks = due
            .into_iter()
            .filter_map(|id| schedules.claim(id, &request))
            .collect();
        Ok(Claimed {
            looks,
            next_due: schedules.due.first().map(|(due, _)| *due),
        })
    }

    async fn schedule_commit(&self, changes: &[ScheduleChange]) -> Result<Vec<ScheduleId>, Error> {
        let mut state = self.state();
        let schedules = &mut state.schedules;
        let kept = changes.iter().filter(|change| schedules.commit(change));
        Ok(kept.map(|change| change.row.id).collect())
    }

    async fn schedule_started(
        &self,
        after: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<StartedTick>, Error> {
        let state = self.state();
        let all = state.schedules.started.iter();
        let following = all.filter(|(id, _)| after.is_none_or(|after| after < **id));
        let ticks = following.take(limit as usize);
        let found = ticks.map(|(execution, (schedule, sequence))| {
            let kept = state.executions.get(execution);
            let ended = match kept {
                None => Some((TickState::Lost, None)),
                Some(kept) => kept
                    .ended
                    .as_ref()
                    .map(|ended| (TickState::from(Some(ended.status)), Some(ended.at))),
            };
            StartedTick {
                schedule: *schedule,
                sequence: *sequence,
                execution: *execution,
                ended,
            }
        });
        Ok(found.collect())
    }

    async fn schedule_settle(&self, now: Timestamp, ended: &[StartedTick]) -> Result<(), Error> {
        let mut state = self.state();
        for tick in ended {
            state.schedules.settle(now, tick);
        }
        Ok(())
    }

    async fn schedule_ticks(
        &self,
        scope: &Scope,
        id: ScheduleId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<TickRow>, Error> {
        let state = self.state();
        let kept = state.schedules.kept.get(&id);
        let own = kept.filter(|kept| kept.row.tenant == scope.tenant());
        let ticks = own.into_iter().flat_map(|kept| kept.ticks.values().rev());
        let found = ticks.filter(|tick| before.is_none_or(|before| tick.sequence < before));
        Ok(page(found.cloned(), limit))
    }

    async fn schedule_tick_find(
        &self,
        scope: &Scope,
        id: ScheduleId,
        identity: &str,
    ) -> Result<Option<TickRow>, Error> {
        let state = self.state();
        let kept = state.schedules.kept.get(&id);
        let own = kept.filter(|kept| kept.row.tenant == scope.tenant());
        let mut ticks = own.into_iter().flat_map(|kept| kept.ticks.values());
        Ok(ticks.find(|tick| tick.identity == identity).cloned())
    }

    async fn schedule_event_put(&self, events: &[ScheduleEvent]) -> Result<(), Error> {
        let mut state = self.state();
        let schedules = &mut state.schedules;
        for event in events {
            let kept = schedules.kept.get_mut(&event.schedule);
            let Some(kept) = kept.filter(|kept| kept.row.paused.is_none()) else {
                continue;
            };
            if kept.known.insert(event.id) {
                kept.events.push(event.clone());
                schedules.ring(event.schedule, event.at);
            }
        }
        Ok(())
    }
}
