//! Tasks for people, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::state::State;
use super::{MemoryStore, page};
use crate::store::human_tasks::escalated_note;
use crate::store::{
    HumanTaskAsk, HumanTaskChange, HumanTaskClose, HumanTaskCounts, HumanTaskNote, HumanTaskQuery,
    HumanTaskRow, HumanTaskState, HumanTaskStore, HumanTaskUpdate, HumanTaskWhole, Page, check,
};
use crate::{Error, ExecutionId, HumanTaskId, Scope, TenantId, UserId};

/// Everything about human tasks.
#[derive(Debug, Default)]
pub(super) struct HumanTasks {
    kept: BTreeMap<HumanTaskId, Kept>,
}

#[derive(Debug)]
struct Kept {
    tenant: TenantId,
    row: HumanTaskRow,
    audiences: BTreeSet<String>,
    notes: Vec<HumanTaskNote>,
}

impl HumanTasks {
    /// Does what a journal entry says.
    pub(super) fn change(
        &mut self,
        tenant: TenantId,
        execution: ExecutionId,
        change: &HumanTaskChange,
    ) {
        if let Some(ask) = &change.ask {
            self.ask((tenant, execution), change, ask);
        }
        let Some(kept) = self.kept.get_mut(&change.id) else {
            return;
        };
        if !change.escalate.is_empty() && kept.row.state.is_answerable() {
            kept.audiences.extend(change.escalate.iter().cloned());
            (kept.row.state, kept.row.claimed_by) = (HumanTaskState::Open, None);
            kept.note("escalated", change.at, escalated_note(&change.escalate));
        }
        match change.close {
            Some(HumanTaskClose::Hold) if kept.row.state.is_answerable() => {
                kept.row.state = HumanTaskState::Held;
                kept.row.revision += 1;
            }
            Some(HumanTaskClose::Withdraw) => kept.withdraw(change.at),
            _ => {}
        }
    }

    /// Does what an amendment says: what is not asked again is withdrawn.
    pub(super) fn amend(
        &mut self,
        (tenant, execution): (TenantId, ExecutionId),
        changes: &[HumanTaskChange],
        at: Timestamp,
    ) {
        for kept in self.kept.values_mut() {
            let asked = changes.iter().any(|change| change.id == kept.row.id);
            if kept.row.execution == execution && kept.row.state.is_active() && !asked {
                kept.withdraw(at);
            }
        }
        for change in changes {
            self.change(tenant, execution, change);
        }
    }

    /// Removes those of an execution.
    pub(super) fn remove(&mut self, execution: ExecutionId) {
        self.kept.retain(|_, kept| kept.row.execution != execution);
    }

    fn ask(
        &mut self,
        (tenant, execution): (TenantId, ExecutionId),
        change: &HumanTaskChange,
        ask: &HumanTaskAsk,
    ) {
        let kept = self.kept.entry(change.id).or_insert_with(|| Kept {
            tenant,
            row: HumanTaskRow {
                id: change.id,
                execution,
                effect: change.effect,
                workflow: ask.workflow.clone(),
                task: ask.task.clone(),
                title: ask.title.clone(),
                state: HumanTaskState::Open,
                created_at: change.at,
                deadline: ask.deadline,
                claimed_by: None,
                completed_by: None,
                closed_at: None,
                revision: 0,
                details: None,
                answer: None,
            },
            audiences: BTreeSet::new(),
            notes: Vec::new(),
        });
        let row = &mut kept.row;
        if matches!(
            row.state,
            HumanTaskState::Completed | HumanTaskState::Expired
        ) {
            return;
        }
        row.workflow = ask.workflow.clone();
        row.title.clone_from(&ask.title);
        row.deadline = ask.deadline;
        row.details = Some(Arc::clone(&ask.details));
        row.state = match row.claimed_by {
            Some(_) => HumanTaskState::Claimed,
            None => HumanTaskState::Open,
        };
        (row.closed_at, row.completed_by, row.answer) = (None, None, None);
        row.revision += 1;
        kept.audiences.extend(ask.audiences.iter().cloned());
    }

    fn of(&self, tenant: TenantId) -> impl Iterator<Item = &Kept> {
        self.kept.values().filter(move |kept| kept.tenant == tenant)
    }
}

impl Kept {
    fn withdraw(&mut self, at: Timestamp) {
        self.row.state = HumanTaskState::Withdrawn;
        self.row.claimed_by = None;
        self.row.closed_at = Some(at);
        self.audiences.clear();
        self.note("withdrawn", at, None);
    }

    fn note(&mut self, what: &str, at: Timestamp, details: Option<Arc<str>>) {
        self.row.revision += 1;
        self.notes.push(HumanTaskNote {
            at,
            what: what.to_owned(),
            by: None,
            details,
        });
    }

    fn is_for(&self, audiences: &[String]) -> bool {
        audiences.iter().any(|one| self.audiences.contains(one))
    }

    fn matches(&self, query: &HumanTaskQuery) -> bool {
        let row = &self.row;
        let workflow = query.workflow.as_ref();
        (query.states.is_empty() || query.states.contains(&row.state))
            && (query.audiences.is_empty() || self.is_for(&query.audiences))
            && query
                .free_for
                .is_none_or(|by| row.claimed_by.is_none_or(|own| own == by))
            && query.claimed_by.is_none_or(|by| row.claimed_by == Some(by))
            && query
                .completed_by
                .is_none_or(|by| row.completed_by == Some(by))
            && workflow.is_none_or(|(namespace, name)| {
                row.workflow.namespace == *namespace && row.workflow.name == *name
            })
            && query.execution.is_none_or(|id| row.execution == id)
            && query
                .before
                .is_none_or(|before| (row.created_at, row.id) < before)
    }
}

impl HumanTaskState {
    /// Tells whether somebody may answer now.
    fn is_answerable(self) -> bool {
        matches!(self, Self::Open | Self::Claimed)
    }
}

#[async_trait]
impl HumanTaskStore for MemoryStore {
    async fn human_task_fetch(
        &self,
        scope: &Scope,
        id: HumanTaskId,
    ) -> Result<Option<HumanTaskWhole>, Error> {
        let state = self.state();
        let found = state.human_tasks.kept.get(&id);
        let own = found.filter(|kept| kept.tenant == scope.tenant());
        Ok(own.map(|kept| HumanTaskWhole {
            row: kept.row.clone(),
            audiences: kept.audiences.iter().cloned().collect(),
            notes: kept.notes.clone(),
        }))
    }

    async fn human_task_list(
        &self,
        scope: &Scope,
        query: &HumanTaskQuery,
    ) -> Result<Page<HumanTaskRow>, Error> {
        let state = self.state();
        let own = state.human_tasks.of(scope.tenant());
        let mut found: Vec<HumanTaskRow> = own
            .filter(|kept| kept.matches(query))
            .map(|kept| HumanTaskRow {
                details: None,
                answer: None,
                ..kept.row.clone()
            })
            .collect();
        found.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.id)));
        Ok(page(found.into_iter(), query.limit))
    }

    async fn human_task_count(
        &self,
        scope: &Scope,
        audiences: &[String],
        claimed_by: UserId,
        most: u32,
    ) -> Result<HumanTaskCounts, Error> {
        let state = self.state();
        let count = |wanted: &dyn Fn(&Kept) -> bool| {
            let own = state.human_tasks.of(scope.tenant());
            let found = own.filter(|kept| wanted(kept)).take(most as usize).count();
            u32::try_from(found).unwrap_or(most)
        };
        Ok(HumanTaskCounts {
            open: count(&|kept| kept.row.state == HumanTaskState::Open && kept.is_for(audiences)),
            claimed: count(&|kept| {
                kept.row.state == HumanTaskState::Claimed && kept.row.claimed_by == Some(claimed_by)
            }),
        })
    }

    async fn human_task_update(&self, update: &HumanTaskUpdate) -> Result<bool, Error> {
        check::human_task(update)?;
        let mut state = self.state();
        Ok(state.update_human_task(update))
    }
}

impl State {
    fn update_human_task(&mut self, update: &HumanTaskUpdate) -> bool {
        let execution = self.executions.get(&update.execution);
        if update.message.is_some() && execution.is_none_or(|one| one.ended.is_some()) {
            return false;
        }
        let found = self.human_tasks.kept.get_mut(&update.id);
        let Some(kept) = found.filter(|kept| kept.tenant == update.tenant) else {
            return false;
        };
        if kept.row.revision != update.revision || !kept.row.state.is_active() {
            return false;
        }
        let row = &mut kept.row;
        row.state = update.state;
        row.claimed_by = update.claimed_by;
        row.completed_by = update.completed_by;
        row.answer.clone_from(&update.answer);
        row.revision += 1;
        if update.state.is_active() {
            kept.audiences.extend(update.audiences.iter().cloned());
        } else {
            row.closed_at = Some(update.note.at);
            kept.audiences.clear();
        }
        kept.notes.push(update.note.clone());
        if let Some(message) = &update.message {
            self.deliver(message);
        }
        true
    }
}
