//! Starting many executions in one call.

use std::collections::BTreeMap;

use auterity_core::ErrorKind;
use auterity_core::engine::{StartRequest, Started};
use auterity_tenancy::Permission;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::Request;
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::{Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Problem};
use crate::idempotency::IdempotencyKey;
use crate::payload::{BatchBody, Json};
use crate::scope::Caller;

/// One execution to start.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct BatchItem {
    /// The workflow: `namespace/name`.
    workflow: String,
    /// The version; absent: the highest.
    version: Option<String>,
    /// The input; absent: an empty object.
    input: Option<Value>,
    /// Higher comes first when executions have to queue.
    priority: Option<i32>,
    /// Searchable names and values.
    attributes: Option<BTreeMap<String, String>>,
    /// A repeated start with the same key finds the first execution.
    idempotency_key: Option<String>,
}

/// Executions to start.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct BatchRequest {
    /// At most 10,000.
    items: Vec<BatchItem>,
}

/// Why one item was not started.
#[derive(Debug, Serialize, Object)]
struct BatchError {
    /// The HTTP status that a start of its own would have had.
    status: u16,
    /// The class of failure as a stable word.
    code: String,
    /// What failed, why, and what to do.
    detail: String,
    /// After how many seconds to try again, where that is known.
    retry_after_s: Option<u64>,
}

/// What became of one item.
#[derive(Debug, Serialize, Object)]
struct BatchResult {
    /// The execution.
    id: Option<String>,
    /// Whether it had been started before.
    existing: bool,
    /// Why it was not started.
    error: Option<BatchError>,
}

/// What became of all items.
#[derive(Debug, Serialize, Object)]
struct BatchReply {
    /// In the order of the request.
    items: Vec<BatchResult>,
    /// How many failed.
    failed: u64,
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Starts many executions; they queue and begin when it is their turn. An item that
    /// fails harms no other.
    #[oai(
        path = "/executions/batch",
        method = "post",
        operation_id = "execution_start_batch"
    )]
    async fn start(
        &self,
        request: &Request,
        caller: Caller,
        /// A repeated batch with the same key finds the executions of the first, item by
        /// item, as if each item had a key of its own; where one has, that one counts.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: IdempotencyKey,
        body: BatchBody<BatchRequest>,
    ) -> Result<Json<BatchReply>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionStart)?;
        let mut starts = Vec::with_capacity(body.0.items.len());
        for (place, item) in body.0.items.into_iter().enumerate() {
            let mut start = item.request(place)?;
            if start.idempotency_key.is_none() {
                let batch = idempotency_key.0.as_deref();
                start.idempotency_key = batch.map(|batch| key_of_item(batch, place));
            }
            starts.push(start);
        }
        let engine = context.engine().clone();
        let started = detached(&context, "execution start batch", async move {
            Ok(engine.start_many(&scope, starts).await?)
        })
        .await?;
        let items: Vec<BatchResult> = started.into_iter().map(BatchResult::of).collect();
        let failed = items.iter().filter(|item| item.error.is_some()).count();
        Ok(Json(BatchReply {
            failed: failed as u64,
            items,
        }))
    }
}

/// Gives the key of an item from that of its batch: of one length, whatever that has.
fn key_of_item(batch: &str, place: usize) -> String {
    let hash = digest(&SHA256, batch.as_bytes());
    format!("batch {}/{place}", URL_SAFE_NO_PAD.encode(hash))
}

impl BatchItem {
    fn request(self, place: usize) -> Result<StartRequest, Problem> {
        let pointer = format!("/items/{place}/workflow");
        let (namespace, name) = parameters::workflow(&pointer, &self.workflow)?;
        Ok(StartRequest {
            namespace,
            name,
            version: self.version,
            input: self
                .input
                .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            idempotency_key: self.idempotency_key.filter(|key| !key.is_empty()),
            attributes: self.attributes.unwrap_or_default(),
            priority: self.priority.unwrap_or_default(),
        })
    }
}

impl BatchResult {
    fn of(started: Result<Started, auterity_core::Error>) -> Self {
        match started {
            Ok(started) => Self {
                id: Some(started.id.to_string()),
                existing: started.existing,
                error: None,
            },
            Err(error) => {
                let problem = match error.kind() {
                    ErrorKind::Conflict => Problem::from(error).with_code(Code::KeyReused),
                    _ => error.into(),
                };
                Self {
                    id: None,
                    existing: false,
                    error: Some(BatchError {
                        status: problem.code().status().as_u16(),
                        code: problem.code().as_str().to_owned(),
                        detail: problem.detail().to_owned(),
                        retry_after_s: problem.retry_after_s(),
                    }),
                }
            }
        }
    }
}
