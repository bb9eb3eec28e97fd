//! Starting an execution.

use std::collections::BTreeMap;

use auterity_core::ErrorKind;
use auterity_core::engine::StartRequest;
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;
use serde_json::Value;

use super::documents::Execution;
use crate::api::{PREFIX, Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Problem};
use crate::idempotency::IdempotencyKey;
use crate::payload::{Json, JsonBody};
use crate::scope::Caller;

/// What to start an execution with.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct StartBody {
    /// The input; absent: an empty object.
    input: Option<Value>,
    /// Higher comes first when executions have to queue.
    priority: Option<i32>,
    /// Searchable names and values.
    attributes: Option<BTreeMap<String, String>>,
}

#[derive(ApiResponse)]
enum StartReply {
    /// It is started.
    #[oai(status = 202)]
    Started(
        Json<Execution>,
        #[oai(header = "Location")] String,
        /// `true` when an earlier start with this key had started it.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
    /// It has ended within the time asked for.
    #[oai(status = 200)]
    Ended(
        Json<Execution>,
        #[oai(header = "Location")] String,
        /// `true` when an earlier start with this key had started it.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Starts an execution of a workflow.
    #[oai(
        path = "/workflows/:namespace/:name/executions",
        method = "post",
        operation_id = "execution_start"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each argument is one parameter of the call"
    )]
    async fn start(
        &self,
        request: &Request,
        caller: Caller,
        namespace: Path<String>,
        name: Path<String>,
        /// The version; absent: the highest.
        version: Query<Option<String>>,
        /// How long to wait for the end, such as `10s`.
        wait: Query<Option<String>>,
        /// A repeated start with the same key finds the first execution, for as long
        /// as that is kept; with another workflow, input, attributes or priority it is
        /// refused.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: IdempotencyKey,
        body: JsonBody<StartBody>,
    ) -> Result<StartReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionStart)?;
        let most = context.options().wait_max();
        let wait = parameters::duration("wait", wait.0.as_deref(), most)?;
        let start = StartRequest {
            namespace: namespace.0,
            name: name.0,
            version: version.0,
            input: body
                .0
                .input
                .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            idempotency_key: idempotency_key.0,
            attributes: body.0.attributes.unwrap_or_default(),
            priority: body.0.priority.unwrap_or_default(),
        };
        let keyed = start.idempotency_key.is_some();
        let (engine, acting) = (context.engine().clone(), scope.clone());
        let started = detached(&context, "execution start", async move {
            let started = engine.start(&acting, start).await;
            started.map_err(|error| match error.kind() {
                ErrorKind::Conflict => Problem::from(error).with_code(Code::KeyReused),
                _ => error.into(),
            })
        })
        .await?;
        let replayed = (keyed && started.existing).then(|| "true".to_owned());
        let engine = context.engine();
        if let Some(within) = wait {
            // A server that goes down does not keep its clients: they get what they
            // would get after the wait.
            let drain = edge::drain(request);
            tokio::select! {
                ended = engine.wait(&scope, started.id, within) => drop(ended?),
                () = drain.token().cancelled() => {}
            }
        }
        let execution = Execution::fetch(engine, &scope, started.id).await?;
        let location = format!("{PREFIX}/executions/{}", started.id);
        Ok(if wait.is_some() && execution.has_ended() {
            StartReply::Ended(Json(execution), location, replayed)
        } else {
            StartReply::Started(Json(execution), location, replayed)
        })
    }
}
