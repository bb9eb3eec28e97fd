//! What can be done to an execution that was started.

use auterity_core::ErrorKind;
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;

use super::documents::Execution;
use crate::api::{Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Problem};
use crate::payload::{Json, OptionalJsonBody};
use crate::scope::Caller;

/// Why an execution is to end.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct CancelBody {
    /// The reason, for the history.
    reason: Option<String>,
}

#[derive(ApiResponse)]
enum CancelReply {
    /// The end is asked for; it comes when the execution has cleaned up.
    #[oai(status = 202)]
    Accepted(Json<Execution>),
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Asks an execution to end.
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
        body: OptionalJsonBody<CancelBody>,
    ) -> Result<CancelReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionCancel)?;
        let id = parameters::id(&id.0)?;
        let engine = context.engine().clone();
        let execution = detached(&context, "execution cancel", async move {
            let asked = engine.cancel(&scope, id, body.0.reason).await;
            asked.map_err(|error| match error.kind() {
                ErrorKind::Conflict => Problem::from(error).with_code(Code::AlreadyEnded),
                _ => error.into(),
            })?;
            Execution::fetch(&engine, &scope, id).await
        })
        .await?;
        Ok(CancelReply::Accepted(Json(execution)))
    }
}
