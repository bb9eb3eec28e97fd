//! Lists, counts and single human tasks.

use auterity_core::HumanTaskId;
use auterity_core::engine::{HumanTaskRights, Person};
use auterity_core::store::{HumanTaskQuery, HumanTaskRow, HumanTaskState};
use auterity_tenancy::Permission;
use jiff::Timestamp;
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::documents::{Counts, Names, Page, Whole};
use super::person;
use crate::api::{Tag, parameters};
use crate::edge;
use crate::error::Problem;
use crate::page::{self, Listing};
use crate::payload::Json;
use crate::scope::Caller;

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Tasks")]
impl Api {
    /// Lists human tasks, newest first.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the query, by its name"
    )]
    #[oai(path = "/tasks", method = "get", operation_id = "task_list")]
    async fn list(
        &self,
        request: &Request,
        caller: Caller,
        /// Only those that wait for the caller, or with `state=completed` those that the
        /// caller answered.
        mine: Query<Option<bool>>,
        /// Only in one of these states, separated by commas: `open`, `claimed`, `held`,
        /// `completed`, `expired`, `withdrawn`.
        state: Query<Option<String>>,
        /// Only of this workflow: `namespace/name`.
        workflow: Query<Option<String>>,
        /// Only of this execution.
        execution: Query<Option<String>>,
        /// Items on the page, 1 to 200.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
    ) -> Result<Json<Page>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::HumanTaskRead)?;
        let mut query = HumanTaskQuery {
            states: states(state.0.as_deref())?,
            ..HumanTaskQuery::default()
        };
        if let Some(text) = &workflow.0 {
            query.workflow = Some(parameters::workflow("workflow", text)?);
        }
        if let Some(text) = &execution.0 {
            let wrong = |_| Problem::parameter("execution", "is no id of an execution");
            query.execution = Some(text.parse().map_err(wrong)?);
        }
        if mine.0 == Some(true) {
            only_mine(&mut query, &person::caller(&context, &caller).await?)?;
        }
        let selection = format!("{query:?}");
        let listing = Listing::new(&context, &scope, "tasks", &selection);
        query.limit = page::limit(limit.0)?;
        query.before = listing.position::<(Timestamp, HumanTaskId)>(cursor.0.as_deref())?;
        let found = context.engine().human_tasks(&scope, &query).await?;
        let last = found.items.last().filter(|_| found.more);
        let position = last.map(|row: &HumanTaskRow| (row.created_at, row.id));
        let names = Names::of(&context, &scope, (&found.items, &[])).await?;
        Ok(Json(Page {
            items: found.items.iter().map(|row| names.summary(row)).collect(),
            next_cursor: listing.cursor(position)?,
        }))
    }

    /// Counts the human tasks that wait for the caller.
    #[oai(path = "/tasks/counts", method = "get", operation_id = "task_counts")]
    async fn counts(&self, request: &Request, caller: Caller) -> Result<Json<Counts>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::HumanTaskRead)?;
        let person = person::caller(&context, &caller).await?;
        let counts = context.engine().human_task_counts(&scope, &person).await?;
        Ok(Json(Counts {
            open: counts.open,
            claimed: counts.claimed,
        }))
    }

    /// Gives a human task.
    #[oai(path = "/tasks/:id", method = "get", operation_id = "task_get")]
    async fn get(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
    ) -> Result<Json<Whole>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::HumanTaskRead)?;
        let person = person::caller(&context, &caller).await?;
        let engine = context.engine();
        let view = engine.human_task(&scope, parameters::id(&id.0)?).await?;
        let mut rights = engine.human_task_rights(&scope, &view, &person);
        if caller.scope(Permission::HumanTaskAnswer).is_err() {
            rights = HumanTaskRights::default();
        }
        let row = std::slice::from_ref(&view.row);
        let names = Names::of(&context, &scope, (row, &view.notes)).await?;
        Ok(Json(names.task(view, rights)?))
    }
}

/// Reads states.
fn states(text: Option<&str>) -> Result<Vec<HumanTaskState>, Problem> {
    let words = text.into_iter().flat_map(|text| text.split(','));
    let read = |word: &str| {
        word.trim().parse().map_err(|_| {
            let known = HumanTaskState::ALL.map(HumanTaskState::as_str).join(", ");
            Problem::parameter("state", &format!("must be of {known}"))
        })
    };
    words.map(read).collect()
}

/// Restricts a query to what is a person's own.
fn only_mine(query: &mut HumanTaskQuery, person: &Person) -> Result<(), Problem> {
    use HumanTaskState::{Claimed, Completed, Held, Open};
    if query.states.is_empty() {
        query.states = vec![Open, Claimed];
    }
    if query.states == [Completed] {
        query.completed_by = Some(person.id);
        return Ok(());
    }
    if query.states == [Claimed] {
        query.claimed_by = Some(person.id);
        return Ok(());
    }
    if query
        .states
        .iter()
        .all(|state| matches!(state, Open | Claimed | Held))
    {
        query.audiences = person.audiences();
        query.free_for = Some(person.id);
        return Ok(());
    }
    let detail = "asks for completed with others; what expired or was withdrawn is nobody's, and \
                  completed ones are asked for alone";
    Err(Problem::parameter("mine", detail))
}
