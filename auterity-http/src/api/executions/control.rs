//! What can be done to an execution that was started.

use auterity_core::engine::{Handle, Skip};
use auterity_core::{Error, ErrorKind, ExecutionId, Scope};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;
use serde_json::Value;

use super::documents::Execution;
use crate::api::{Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Problem};
use crate::payload::{Json, JsonBody, OptionalJsonBody};
use crate::scope::Caller;
use crate::services::Context;

/// Why something is asked for.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct OrderBody {
    /// The reason, for the history.
    reason: Option<String>,
}

/// Which task is skipped, and what it is to have given.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct SkipBody {
    /// The JSON pointer of a task at work, such as `/do/0/charge`; with `#` and the
    /// number of its activation where it is at work more than once.
    task: String,
    /// What the next task gets; absent: null. The task's `output` filter is left out.
    output: Option<Value>,
    /// The reason, for the history.
    reason: Option<String>,
}

#[derive(ApiResponse)]
enum OrderReply {
    /// It is asked for, and happens as soon as the execution's worker takes note.
    #[oai(status = 202)]
    Accepted(Json<Execution>),
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Asks an execution to end, after it has undone what its definition says.
    #[oai(
        path = "/executions/:id/cancel",
        method = "post",
        operation_id = "execution_cancel"
    )]
    async fn cancel(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: OptionalJsonBody<OrderBody>,
    ) -> Result<OrderReply, Problem> {
        let scope = caller.scope(Permission::ExecutionCancel)?;
        let (context, id) = (edge::context(request)?, parameters::id(&id.0)?);
        order(&context, (scope, id), move |engine, scope| async move {
            engine.cancel(&scope, id, body.0.reason).await
        })
        .await
    }

    /// Ends an execution at once, without undoing anything.
    #[oai(
        path = "/executions/:id/terminate",
        method = "post",
        operation_id = "execution_terminate"
    )]
    async fn terminate(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: OptionalJsonBody<OrderBody>,
    ) -> Result<OrderReply, Problem> {
        let scope = caller.scope(Permission::ExecutionCancel)?;
        let (context, id) = (edge::context(request)?, parameters::id(&id.0)?);
        order(&context, (scope, id), move |engine, scope| async move {
            engine.terminate(&scope, id, body.0.reason).await
        })
        .await
    }

    /// Stops an execution for a while: what is under way ends, nothing new begins.
    #[oai(
        path = "/executions/:id/suspend",
        method = "post",
        operation_id = "execution_suspend"
    )]
    async fn suspend(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: OptionalJsonBody<OrderBody>,
    ) -> Result<OrderReply, Problem> {
        let scope = caller.scope(Permission::ExecutionRepair)?;
        let (context, id) = (edge::context(request)?, parameters::id(&id.0)?);
        order(&context, (scope, id), move |engine, scope| async move {
            engine.suspend(&scope, id, body.0.reason).await
        })
        .await
    }

    /// Lets a suspended execution go on.
    #[oai(
        path = "/executions/:id/resume",
        method = "post",
        operation_id = "execution_resume"
    )]
    async fn resume(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: OptionalJsonBody<OrderBody>,
    ) -> Result<OrderReply, Problem> {
        let scope = caller.scope(Permission::ExecutionRepair)?;
        let (context, id) = (edge::context(request)?, parameters::id(&id.0)?);
        order(&context, (scope, id), move |engine, scope| async move {
            engine.resume(&scope, id, body.0.reason).await
        })
        .await
    }

    /// Ends a task at work as if it had given an output.
    #[oai(
        path = "/executions/:id/skip",
        method = "post",
        operation_id = "execution_skip"
    )]
    async fn skip(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: JsonBody<SkipBody>,
    ) -> Result<OrderReply, Problem> {
        let scope = caller.scope(Permission::ExecutionRepair)?;
        let (context, id) = (edge::context(request)?, parameters::id(&id.0)?);
        let SkipBody {
            task,
            output,
            reason,
        } = body.0;
        let skip = Skip {
            task,
            output: output.unwrap_or_default(),
            reason,
        };
        order(&context, (scope, id), move |engine, scope| async move {
            engine.skip(&scope, id, skip).await
        })
        .await
    }
}

/// Hands an order on, detached from the connection, and gives where the execution
/// stands then.
async fn order<F>(
    context: &Context,
    (scope, id): (Scope, ExecutionId),
    ask: impl FnOnce(Handle, Scope) -> F + Send + 'static,
) -> Result<OrderReply, Problem>
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let engine = context.engine().clone();
    let execution = detached(context, "execution order", async move {
        if let Err(error) = ask(engine.clone(), scope.clone()).await {
            return Err(refused(&engine, &scope, (id, error)).await);
        }
        Execution::fetch(&engine, &scope, id).await
    })
    .await?;
    Ok(OrderReply::Accepted(Json(execution)))
}

/// Tells an execution that has ended from one that is in the wrong state.
async fn refused(engine: &Handle, scope: &Scope, (id, error): (ExecutionId, Error)) -> Problem {
    let conflict = error.kind() == ErrorKind::Conflict;
    let problem = Problem::from(error);
    if !conflict {
        return problem;
    }
    match Execution::fetch(engine, scope, id).await {
        Ok(execution) if execution.has_ended() => problem.with_code(Code::AlreadyEnded),
        _ => problem,
    }
}
