//! What the calls about human tasks answer with.

use std::collections::BTreeMap;

use auterity_core::engine::{HumanTaskDetails, HumanTaskRights, HumanTaskView};
use auterity_core::store::{HumanTaskNote, HumanTaskRow, HumanTaskState};
use auterity_core::{Scope, UserId};
use poem_openapi::{Enum, Object};
use serde::Serialize;
use serde_json::Value;

use crate::error::Problem;
use crate::payload::{Raw, Time};
use crate::services::Context;

/// Where a human task stands.
#[derive(Debug, Clone, Copy, Serialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "HumanTaskState")]
pub(super) enum State {
    /// Anybody of those whom it is for may take it.
    Open,
    /// Somebody has taken it.
    Claimed,
    /// Its execution is suspended: nobody may answer.
    Held,
    /// Somebody answered.
    Completed,
    /// Nobody answered before its deadline.
    Expired,
    /// Its execution went on without it.
    Withdrawn,
}

/// A person of the tenant.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "HumanTaskPerson")]
pub(super) struct PersonName {
    /// The id.
    id: String,
    /// The e-mail address; null for somebody who is no member any more.
    email: Option<String>,
}

/// The workflow whose execution asks.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "HumanTaskWorkflow")]
struct Workflow {
    /// Groups workflows.
    namespace: String,
    /// Unique in the namespace.
    name: String,
    /// The version that the execution is pinned to.
    version: String,
}

/// A human task in a list.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "HumanTaskSummary")]
pub(super) struct Summary {
    /// The id.
    id: String,
    /// What is to be decided or done.
    title: String,
    /// Where it stands.
    state: State,
    /// The execution that asks.
    execution: String,
    /// Its workflow.
    workflow: Workflow,
    /// The JSON pointer of the task in the definition.
    task: String,
    /// Since when it may be answered.
    created_at: Time,
    /// Until when.
    deadline: Option<Time>,
    /// Who has taken it.
    claimed_by: Option<PersonName>,
    /// Who answered.
    completed_by: Option<PersonName>,
    /// When it was answered, expired or was withdrawn.
    closed_at: Option<Time>,
}

/// A page of human tasks.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "HumanTaskPage")]
pub(super) struct Page {
    /// The newest first.
    pub(super) items: Vec<Summary>,
    /// Leads to the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

/// How many human tasks wait for the caller.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "HumanTaskCounts")]
pub(super) struct Counts {
    /// That nobody has taken, counted up to 1,000.
    pub(super) open: u32,
    /// That the caller has taken, counted up to 1,000.
    pub(super) claimed: u32,
}

/// Who else may answer, and when.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "HumanTaskEscalation")]
struct Escalation {
    /// When.
    at: Time,
    /// People, by address or id.
    users: Vec<String>,
    /// Roles.
    roles: Vec<String>,
}

/// What the caller may do with a human task now.
#[expect(clippy::struct_excessive_bools, reason = "one answer for each action")]
#[derive(Debug, Serialize, Object)]
#[oai(rename = "HumanTaskRights")]
struct Rights {
    /// Take it.
    claim: bool,
    /// Give it back, or take it from somebody.
    release: bool,
    /// Hand it on.
    delegate: bool,
    /// Answer it.
    complete: bool,
}

/// Something that was done with a human task.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "HumanTaskNote")]
struct Note {
    /// When.
    at: Time,
    /// `claimed`, `released`, `delegated`, `escalated`, `completed`, `expired` or
    /// `withdrawn`.
    what: String,
    /// Who did it; null: the engine.
    by: Option<PersonName>,
    /// More about it: to whom, which outcome.
    details: Option<Raw>,
}

/// A human task.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "HumanTask")]
pub(super) struct Whole {
    /// The id.
    id: String,
    /// What is to be decided or done.
    title: String,
    /// Where it stands.
    state: State,
    /// The execution that asks.
    execution: String,
    /// Its workflow.
    workflow: Workflow,
    /// The JSON pointer of the task in the definition.
    task: String,
    /// Since when it may be answered.
    created_at: Time,
    /// Until when.
    deadline: Option<Time>,
    /// Who has taken it.
    claimed_by: Option<PersonName>,
    /// Who answered.
    completed_by: Option<PersonName>,
    /// When it was answered, expired or was withdrawn.
    closed_at: Option<Time>,
    /// What one has to know for it.
    description: Option<String>,
    /// What is to be shown.
    data: Option<Raw>,
    /// The JSON Schema of what is to be filled in; null: nothing is.
    form: Option<Raw>,
    /// What may come of it.
    outcomes: Vec<String>,
    /// The outcome at the deadline; null: a time-out error.
    deadline_outcome: Option<String>,
    /// Whom it is for: `user:` and an address or id, `role:` and a name, `anyone`. Empty
    /// once it is closed.
    assignees: Vec<String>,
    /// Who else may answer after a while, if that is still to come.
    escalation: Option<Escalation>,
    /// Outcome, data, who, when and a comment; or what it ended with at its deadline.
    answer: Option<Raw>,
    /// What was done with it, oldest first.
    history: Vec<Note>,
    /// What the caller may do now.
    may: Rights,
}

/// The addresses of people, by their ids.
pub(super) struct Names(BTreeMap<UserId, String>);

impl Names {
    /// Looks up everybody whom rows and notes name.
    pub(super) async fn of(
        context: &Context,
        scope: &Scope,
        (rows, notes): (&[HumanTaskRow], &[HumanTaskNote]),
    ) -> Result<Self, Problem> {
        let rows = rows
            .iter()
            .flat_map(|row| [row.claimed_by, row.completed_by]);
        let notes = notes.iter().map(|note| note.by);
        let mut ids: Vec<UserId> = rows.chain(notes).flatten().collect();
        ids.sort_unstable();
        ids.dedup();
        let members = context.identity().members(scope, &ids).await?;
        let known = members.into_iter();
        Ok(Self(known.map(|one| (one.id, one.email)).collect()))
    }

    fn name(&self, id: Option<UserId>) -> Option<PersonName> {
        id.map(|id| PersonName {
            id: id.to_string(),
            email: self.0.get(&id).cloned(),
        })
    }

    pub(super) fn summary(&self, row: &HumanTaskRow) -> Summary {
        Summary {
            id: row.id.to_string(),
            title: row.title.clone(),
            state: row.state.into(),
            execution: row.execution.to_string(),
            workflow: Workflow::of(row),
            task: row.task.clone(),
            created_at: Time(row.created_at),
            deadline: row.deadline.map(Time),
            claimed_by: self.name(row.claimed_by),
            completed_by: self.name(row.completed_by),
            closed_at: row.closed_at.map(Time),
        }
    }

    pub(super) fn task(
        &self,
        view: HumanTaskView,
        rights: HumanTaskRights,
    ) -> Result<Whole, Problem> {
        let row = &view.row;
        let notes = view.notes.iter().map(|note| self.note(note));
        let history = notes.collect::<Result<_, _>>()?;
        let escalation = Escalation::of(&view);
        let details = view.details;
        Ok(Whole {
            id: row.id.to_string(),
            title: row.title.clone(),
            state: row.state.into(),
            execution: row.execution.to_string(),
            workflow: Workflow::of(row),
            task: row.task.clone(),
            created_at: Time(row.created_at),
            deadline: row.deadline.map(Time),
            claimed_by: self.name(row.claimed_by),
            completed_by: self.name(row.completed_by),
            closed_at: row.closed_at.map(Time),
            description: details.description,
            data: raw(details.data.as_ref())?,
            form: raw(details.form.as_ref())?,
            outcomes: details.outcomes,
            deadline_outcome: details.deadline_outcome,
            assignees: view.audiences,
            escalation,
            answer: row.answer.as_deref().map(Raw::from_text).transpose()?,
            history,
            may: rights.into(),
        })
    }

    fn note(&self, note: &HumanTaskNote) -> Result<Note, Problem> {
        Ok(Note {
            at: Time(note.at),
            what: note.what.clone(),
            by: self.name(note.by),
            details: note.details.as_deref().map(Raw::from_text).transpose()?,
        })
    }
}

fn raw(value: Option<&Value>) -> Result<Option<Raw>, Problem> {
    let text = value.map(ToString::to_string);
    text.as_deref().map(Raw::from_text).transpose()
}

impl Workflow {
    fn of(row: &HumanTaskRow) -> Self {
        Self {
            namespace: row.workflow.namespace.clone(),
            name: row.workflow.name.clone(),
            version: row.workflow.version.clone(),
        }
    }
}

impl Escalation {
    /// Gives what is still to come of it.
    fn of(view: &HumanTaskView) -> Option<Self> {
        let HumanTaskDetails {
            escalate_at: Some(at),
            escalate_to: Some(to),
            ..
        } = &view.details
        else {
            return None;
        };
        let is_past = view.notes.iter().any(|note| note.what == "escalated");
        (view.row.state.is_active() && !is_past).then(|| Self {
            at: Time(*at),
            users: to.users.clone(),
            roles: to.roles.clone(),
        })
    }
}

impl From<HumanTaskRights> for Rights {
    fn from(rights: HumanTaskRights) -> Self {
        Self {
            claim: rights.claim,
            release: rights.release,
            delegate: rights.delegate,
            complete: rights.complete,
        }
    }
}

impl From<HumanTaskState> for State {
    fn from(state: HumanTaskState) -> Self {
        match state {
            HumanTaskState::Open => Self::Open,
            HumanTaskState::Claimed => Self::Claimed,
            HumanTaskState::Held => Self::Held,
            HumanTaskState::Completed => Self::Completed,
            HumanTaskState::Expired => Self::Expired,
            HumanTaskState::Withdrawn => Self::Withdrawn,
        }
    }
}
