//! `CloudEvents` from outside.

use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;
use serde_json::Value;

use super::Tag;
use crate::detach::detached;
use crate::edge;
use crate::error::Problem;
use crate::payload::{CloudEventBody, Json};
use crate::scope::Caller;

/// What became of a `CloudEvent`.
#[derive(Debug, Serialize, Object)]
struct Published {
    /// The event's id.
    id: String,
    /// How many executions it reached.
    matched: u32,
}

#[derive(ApiResponse)]
enum PublishReply {
    /// The event is with the executions that listen for it.
    #[oai(status = 202)]
    Accepted(Json<Published>),
}

pub(super) struct Api;

#[OpenApi(tag = "Tag::Events")]
impl Api {
    /// Brings a `CloudEvent`, in structured or binary mode, to the executions that
    /// listen for it.
    #[oai(path = "/events", method = "post", operation_id = "event_publish")]
    async fn publish(
        &self,
        request: &Request,
        caller: Caller,
        body: CloudEventBody,
    ) -> Result<PublishReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::EventPublish)?;
        let id = body.0.get("id").and_then(Value::as_str).unwrap_or_default();
        let id = id.to_owned();
        let engine = context.engine().clone();
        let matched = detached(&context, "event publish", async move {
            Ok(engine.publish(&scope, &body.0).await?)
        })
        .await?;
        Ok(PublishReply::Accepted(Json(Published { id, matched })))
    }
}
