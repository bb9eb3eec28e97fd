//! Settings of a workflow: how much of it may be at work, how often, in which order.

use auterity_core::ErrorKind;
use auterity_core::engine::{Kept, WorkflowSettings};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::{Header, Path};
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::Tag;
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Pointed, Problem};
use crate::payload::{Json, JsonBody, fit};
use crate::scope::Caller;

/// Executions of a workflow at work at the same time.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct ConcurrencyLimit {
    /// How many at most.
    max: u32,
    /// A jq expression on the input; the limit then counts for each of its values.
    key: Option<String>,
}

/// Executions of a workflow in a time.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct RateLimit {
    /// How many in a period, in the long run.
    max: u32,
    /// The period, as an ISO 8601 duration such as `PT1M`.
    period: String,
    /// How many may come at once after a pause; absent: `max` for `rate`, 1 for
    /// `throttle`.
    burst: Option<u32>,
    /// A jq expression on the input; the limit then counts for each of its values.
    key: Option<String>,
}

/// Which of several executions stays.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case")]
enum Keep {
    /// The first: later starts give its id and start nothing.
    Oldest,
    /// The last: earlier ones are cancelled.
    Newest,
}

/// Waits until starts pause, and then begins one execution for all of them.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct Debounce {
    /// How long the pause is, as an ISO 8601 duration such as `PT10S`.
    period: String,
    /// How long the first start waits at most; absent: ten periods.
    max_wait: Option<String>,
    /// A jq expression on the input; each of its values is debounced by itself.
    key: Option<String>,
    /// Which start counts; absent: `newest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<Keep>,
}

/// Has at most one execution at work or waiting.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct Singleton {
    /// A jq expression on the input; there is then one for each of its values.
    key: Option<String>,
    /// Which one stays; absent: `newest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<Keep>,
}

/// Settings of a workflow, whatever its version. What is absent is not limited.
#[derive(Debug, Serialize, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, rename = "WorkflowSettings")]
struct Settings {
    /// The priority of starts that ask for none (or for 0).
    #[serde(default)]
    priority: i32,
    /// How many may be at work.
    #[serde(default)]
    concurrency: Vec<ConcurrencyLimit>,
    /// How often it may be started; starts beyond are refused with 429.
    #[serde(default)]
    rate: Vec<RateLimit>,
    /// How often executions begin; starts beyond wait and are spread.
    #[serde(default)]
    throttle: Vec<RateLimit>,
    /// One execution for many starts in a row.
    debounce: Option<Debounce>,
    /// One execution at a time, and none waiting behind it.
    singleton: Option<Singleton>,
    /// How many executions may wait at these limits; starts beyond are refused with 429.
    queue_max: Option<u32>,
    /// How long executions are kept after their end, as an ISO 8601 duration such as
    /// `P30D`, from `PT1M`; absent: as the tenant's are.
    retention: Option<String>,
}

#[derive(ApiResponse)]
enum SettingsReply {
    /// The settings.
    #[oai(status = 200)]
    Found(Json<Settings>, #[oai(header = "ETag")] String),
}

pub(super) struct Api;

#[OpenApi(prefix_path = "/workflows", tag = "Tag::Workflows")]
impl Api {
    /// Gives the settings of a workflow.
    #[oai(
        path = "/:namespace/:name/settings",
        method = "get",
        operation_id = "workflow_settings_get"
    )]
    async fn get(
        &self,
        request: &Request,
        caller: Caller,
        namespace: Path<String>,
        name: Path<String>,
    ) -> Result<SettingsReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::WorkflowRead)?;
        let engine = context.engine();
        let kept = engine
            .workflow_settings(&scope, &namespace.0, &name.0)
            .await?;
        reply(&kept)
    }

    /// Replaces the settings of a workflow. They count at once, for those that wait too.
    #[oai(
        path = "/:namespace/:name/settings",
        method = "put",
        operation_id = "workflow_settings_put"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each argument is one parameter of the call"
    )]
    async fn put(
        &self,
        request: &Request,
        caller: Caller,
        namespace: Path<String>,
        name: Path<String>,
        /// The `ETag` of the settings that are replaced; absent: whatever is there.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: JsonBody<Settings>,
    ) -> Result<SettingsReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::WorkflowDeploy)?;
        let expected = expected(if_match.0.as_deref())?;
        let settings: WorkflowSettings = fit(&body.0)?;
        let engine = context.engine().clone();
        let kept = detached(&context, "workflow settings", async move {
            let workflow = (&*namespace.0, &*name.0);
            let put = engine
                .set_workflow_settings(&scope, workflow, &settings, expected)
                .await;
            let revision = put.map_err(refused)?;
            Ok(Kept { settings, revision })
        })
        .await?;
        reply(&kept)
    }
}

fn reply(kept: &Kept<WorkflowSettings>) -> Result<SettingsReply, Problem> {
    let settings: Settings = fit(&kept.settings)?;
    Ok(SettingsReply::Found(
        Json(settings),
        format!("\"{}\"", kept.revision),
    ))
}

/// Reads the revision that a client has seen.
fn expected(text: Option<&str>) -> Result<Option<u64>, Problem> {
    let Some(text) = text.filter(|text| *text != "*") else {
        return Ok(None);
    };
    let revision = text.trim_matches('"').parse();
    // What was never given out matches nothing.
    revision.map(Some).map_err(|_| changed())
}

fn changed() -> Problem {
    let detail = "the settings were changed meanwhile; read them again and send their ETag";
    Problem::new(Code::PreconditionFailed, detail)
}

/// Mistakes lie in the body itself, not in an input.
fn refused(error: auterity_core::Error) -> Problem {
    match error.kind() {
        ErrorKind::Conflict => changed(),
        ErrorKind::Invalid => {
            let found = error.violations().iter();
            let errors =
                found.map(|found| Pointed::new(found.pointer.clone(), found.message.clone()));
            Problem::new(Code::ValidationFailed, error.message()).with_errors(errors.collect())
        }
        _ => error.into(),
    }
}
