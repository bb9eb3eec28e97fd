//! Faulted executions in groups of the same reason.

use auterity_core::store::{FaultGroup, Filter};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::Query;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::documents::{ExecutionSummary, TaskError};
use super::read::parse_filter;
use crate::api::Tag;
use crate::edge;
use crate::error::Problem;
use crate::page;
use crate::payload::{Json, RawAs, Time};
use crate::scope::Caller;

/// Faulted executions of the same reason: same workflow, error type, task and words, in
/// which words with digits count as equal.
#[derive(Debug, Serialize, Object)]
struct Fault {
    /// Names the group: `fault:` and this in a filter means its executions.
    signature: String,
    /// How many executions.
    count: u64,
    /// When the first of them ended.
    first_at: Time,
    /// The one that ended last.
    newest: ExecutionSummary,
    /// The error of that one.
    error: Option<RawAs<TaskError>>,
}

/// The groups of faults.
#[derive(Debug, Serialize, Object)]
struct FaultList {
    /// The one with the latest fault first.
    items: Vec<Fault>,
    /// Whether there is more: other groups, or executions that were started before the
    /// last 100,000 faulted ones and are not counted.
    partial: bool,
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Groups faulted executions by what went wrong.
    #[oai(
        path = "/executions/faults",
        method = "get",
        operation_id = "execution_faults"
    )]
    async fn faults(
        &self,
        request: &Request,
        caller: Caller,
        /// Which executions, as in their list.
        filter: Query<Option<String>>,
        /// Groups, 1 to 200.
        limit: Query<Option<u32>>,
    ) -> Result<Json<FaultList>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::ExecutionRead)?;
        let engine = context.engine();
        let filter = match &filter.0 {
            Some(text) => parse_filter(engine, "filter", text)?,
            None => Filter::default(),
        };
        let found = engine
            .faults(&scope, &filter, page::limit(limit.0)?)
            .await?;
        let items = found.groups.iter().map(Fault::of);
        Ok(Json(FaultList {
            items: items.collect::<Result<_, _>>()?,
            partial: found.partial,
        }))
    }
}

impl Fault {
    fn of(group: &FaultGroup) -> Result<Self, Problem> {
        let error = group.newest.error.as_deref();
        Ok(Self {
            signature: group.signature.to_string(),
            count: group.count,
            first_at: Time(group.first_at),
            newest: ExecutionSummary::from(&group.newest),
            error: error.map(RawAs::from_text).transpose()?,
        })
    }
}
