//! What people do with human tasks.

use auterity_core::engine::{HumanTaskAction, HumanTaskAnswer, Person};
use auterity_core::{Error, HumanTaskId, Scope};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;
use serde_json::Value;

use super::documents::{Names, Whole};
use super::person;
use crate::api::{Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Pointed, Problem};
use crate::payload::{Json, JsonBody};
use crate::scope::Caller;
use crate::services::Context;

/// A person's answer.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, rename = "HumanTaskAnswer")]
struct Answer {
    /// One of the task's outcomes.
    outcome: String,
    /// What was filled into the form; absent where there is none.
    data: Option<Value>,
    /// What else there is to say.
    comment: Option<String>,
}

/// Who is to have the task.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, rename = "HumanTaskDelegation")]
struct Delegation {
    /// A member of the tenant, by e-mail address or id.
    to: String,
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Tasks")]
impl Api {
    /// Takes a human task, so that nobody else answers it.
    #[oai(
        path = "/tasks/:id/claim",
        method = "post",
        operation_id = "task_claim"
    )]
    async fn claim(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
    ) -> Result<Json<Whole>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::HumanTaskAnswer)?;
        let person = person::caller(&context, &caller).await?;
        act(&context, (scope, &id.0), person, HumanTaskAction::Claim).await
    }

    /// Gives a human task back to those whom it is for.
    #[oai(
        path = "/tasks/:id/release",
        method = "post",
        operation_id = "task_release"
    )]
    async fn release(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
    ) -> Result<Json<Whole>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::HumanTaskAnswer)?;
        let person = person::caller(&context, &caller).await?;
        act(&context, (scope, &id.0), person, HumanTaskAction::Release).await
    }

    /// Hands a human task on to a member of the tenant.
    #[oai(
        path = "/tasks/:id/delegate",
        method = "post",
        operation_id = "task_delegate"
    )]
    async fn delegate(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: JsonBody<Delegation>,
    ) -> Result<Json<Whole>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::HumanTaskAnswer)?;
        let person = person::caller(&context, &caller).await?;
        // What is not there is said before whom it cannot be handed on to.
        let task = parameters::id(&id.0)?;
        context.engine().human_task(&scope, task).await?;
        let to = person::receiver(&context, &scope, &body.0.to).await?;
        let action = HumanTaskAction::Delegate { to };
        act(&context, (scope, &id.0), person, action).await
    }

    /// Answers a human task; its execution goes on with the answer. Of two answers one is
    /// taken; the same answer again by the same person is taken for a repetition.
    #[oai(
        path = "/tasks/:id/complete",
        method = "post",
        operation_id = "task_complete"
    )]
    async fn complete(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: JsonBody<Answer>,
    ) -> Result<Json<Whole>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::HumanTaskAnswer)?;
        let person = person::caller(&context, &caller).await?;
        let Answer {
            outcome,
            data,
            comment,
        } = body.0;
        let answer = HumanTaskAnswer {
            outcome,
            data,
            comment,
        };
        let action = HumanTaskAction::Complete(answer);
        act(&context, (scope, &id.0), person, action).await
    }
}

/// Does it, detached from the connection, and gives the task as it is then.
async fn act(
    context: &Context,
    (scope, id): (Scope, &str),
    person: Person,
    action: HumanTaskAction,
) -> Result<Json<Whole>, Problem> {
    let id: HumanTaskId = parameters::id(id)?;
    let engine = context.engine().clone();
    let (view, rights) = detached(context, "human task", {
        let scope = scope.clone();
        async move {
            let by = (&person, &action);
            let done = engine.human_task_act(&scope, id, by).await;
            let view = done.map_err(refused)?;
            let rights = engine.human_task_rights(&scope, &view, &person);
            Ok((view, rights))
        }
    })
    .await?;
    let row = std::slice::from_ref(&view.row);
    let names = Names::of(context, &scope, (row, &view.notes)).await?;
    Ok(Json(names.task(view, rights)?))
}

/// Names the places of an answer as its body has them.
fn refused(error: Error) -> Problem {
    let violations = error.violations().iter();
    let errors: Vec<Pointed> = violations
        .map(|found| Pointed::new(found.pointer.clone(), found.message.clone()))
        .collect();
    if errors.is_empty() {
        return error.into();
    }
    Problem::new(Code::AnswerInvalid, error.message())
        .with_errors(errors)
        .with_source(error)
}
