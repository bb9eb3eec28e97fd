//! What puts an execution elsewhere than its own way leads it.

use auterity_core::ErrorKind;
use auterity_core::engine::{Fork, Migrate, Retry, RetryPlan, Verdict};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::{Header, Path};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::documents::Execution;
use crate::api::{PREFIX, Tag, parameters};
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Pointed, Problem};
use crate::payload::{Json, JsonBody, OptionalJsonBody};
use crate::scope::Caller;

/// From where an execution is to go on.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct RetryBody {
    /// The JSON pointer of a task, such as `/do/0/charge`; with `#` and the number of
    /// its activation unless the newest is meant. `/` is the start. Absent: the task
    /// whose error ended the execution.
    from_task: Option<String>,
    /// What the task is given in place of what it had; at the start, the input.
    input: Option<Value>,
    /// The version to go on with; absent: the present one.
    version: Option<String>,
    /// The reason, for the history.
    reason: Option<String>,
    /// Only says what would happen.
    dry_run: Option<bool>,
}

/// From where a new execution begins.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct ForkBody {
    /// The JSON pointer of a task of the other execution, as for a retry. Absent: the
    /// start.
    from_task: Option<String>,
    /// What the task is given in place of what it had; at the start, the input.
    input: Option<Value>,
    /// The version to begin with; absent: the other execution's.
    version: Option<String>,
    /// The reason, for the history.
    reason: Option<String>,
}

/// Which version an execution is to go on with.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct MigrateBody {
    /// The version.
    version: String,
    /// The reason, for the history.
    reason: Option<String>,
    /// Only says whether the execution maps.
    dry_run: Option<bool>,
}

/// A task that runs again.
#[derive(Debug, Serialize, Object)]
struct Again {
    /// The JSON pointer of the task.
    task: String,
    /// The kind of task: `call`, `set`, …
    kind: String,
    /// How often it has run since the task from which the execution goes on.
    times: u32,
}

/// What a retry does.
#[derive(Debug, Serialize, Object)]
struct RetryOutcome {
    /// The task from which the execution goes on, with its activation; null: the start.
    from_task: Option<String>,
    /// The version with which it goes on.
    version: String,
    /// What had run since, and so runs again unless the way changes. Calls among them
    /// act once more, under new idempotency keys.
    runs_again: Vec<Again>,
}

/// Whether an execution maps to a version.
#[derive(Debug, Serialize, Object)]
struct MigrateOutcome {
    /// The version that it had.
    from: String,
    /// The version that was asked for.
    to: String,
    /// Whether every task at work and every task that comes next is in that version.
    maps: bool,
    /// Why not.
    reasons: Vec<String>,
    /// Whether it was carried over by now.
    done: bool,
}

#[derive(ApiResponse)]
enum RetryReply {
    /// What would happen.
    #[oai(status = 200)]
    Planned(Json<RetryOutcome>),
    /// It goes on.
    #[oai(status = 202)]
    Accepted(Json<RetryOutcome>),
}

#[derive(ApiResponse)]
enum ForkReply {
    /// It has begun.
    #[oai(status = 202)]
    Started(Json<Execution>, #[oai(header = "Location")] String),
}

#[derive(ApiResponse)]
enum MigrateReply {
    /// The verdict; without `dry_run` the execution was carried over.
    #[oai(status = 200)]
    Known(Json<MigrateOutcome>),
    /// It is asked for; the execution's worker has not said yet what came of it.
    #[oai(status = 202)]
    Asked(Json<MigrateOutcome>),
}

pub(in crate::api) struct Api;

#[OpenApi(tag = "Tag::Executions")]
impl Api {
    /// Lets an execution that has ended or is suspended go on from an earlier task.
    #[oai(
        path = "/executions/:id/retry",
        method = "post",
        operation_id = "execution_retry"
    )]
    async fn retry(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: OptionalJsonBody<RetryBody>,
    ) -> Result<RetryReply, Problem> {
        let scope = caller.scope(Permission::ExecutionRepair)?;
        let (context, id) = (edge::context(request)?, parameters::id(&id.0)?);
        let engine = context.engine().clone();
        let dry_run = body.0.dry_run.unwrap_or_default();
        let retry = Retry {
            from_task: body.0.from_task,
            input: body.0.input,
            version: body.0.version,
            reason: body.0.reason,
            dry_run,
        };
        let plan = detached(&context, "execution retry", async move {
            Ok(engine.retry(&scope, id, retry).await?)
        })
        .await?;
        let outcome = Json(RetryOutcome::from(plan));
        Ok(if dry_run {
            RetryReply::Planned(outcome)
        } else {
            RetryReply::Accepted(outcome)
        })
    }

    /// Starts an execution from where another one stood. The two share nothing.
    #[oai(
        path = "/executions/:id/fork",
        method = "post",
        operation_id = "execution_fork"
    )]
    async fn fork(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        /// A repeated fork with the same key finds the first execution.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Header<Option<String>>,
        body: OptionalJsonBody<ForkBody>,
    ) -> Result<ForkReply, Problem> {
        let scope = caller.scope(Permission::ExecutionRepair)?;
        let (context, id) = (edge::context(request)?, parameters::id(&id.0)?);
        let engine = context.engine().clone();
        let fork = Fork {
            from_task: body.0.from_task,
            input: body.0.input,
            version: body.0.version,
            reason: body.0.reason,
            idempotency_key: idempotency_key.0.filter(|key| !key.is_empty()),
        };
        let (execution, location) = detached(&context, "execution fork", async move {
            let new = engine.fork(&scope, id, fork).await?;
            let execution = Execution::fetch(&engine, &scope, new).await?;
            Ok((execution, format!("{PREFIX}/executions/{new}")))
        })
        .await?;
        Ok(ForkReply::Started(Json(execution), location))
    }

    /// Carries an execution that has not ended over to another version.
    #[oai(
        path = "/executions/:id/migrate",
        method = "post",
        operation_id = "execution_migrate"
    )]
    async fn migrate(
        &self,
        request: &Request,
        caller: Caller,
        id: Path<String>,
        body: JsonBody<MigrateBody>,
    ) -> Result<MigrateReply, Problem> {
        let scope = caller.scope(Permission::ExecutionRepair)?;
        let (context, id) = (edge::context(request)?, parameters::id(&id.0)?);
        let engine = context.engine().clone();
        let dry_run = body.0.dry_run.unwrap_or_default();
        let migrate = Migrate {
            version: body.0.version,
            reason: body.0.reason,
            dry_run,
        };
        let verdict = detached(&context, "execution migrate", async move {
            let asked = engine.migrate(&scope, id, migrate).await;
            asked.map_err(|error| match error.kind() {
                ErrorKind::Conflict => Problem::from(error).with_code(Code::AlreadyEnded),
                _ => error.into(),
            })
        })
        .await?;
        if !dry_run && !verdict.reasons.is_empty() {
            return Err(unmapped(&verdict));
        }
        let asked = !dry_run && !verdict.done;
        let outcome = Json(MigrateOutcome::from(verdict));
        Ok(if asked {
            MigrateReply::Asked(outcome)
        } else {
            MigrateReply::Known(outcome)
        })
    }
}

/// The refusal of a migration, with every reason.
fn unmapped(verdict: &Verdict) -> Problem {
    let detail = format!(
        "the execution does not map to version {}: {}",
        verdict.to,
        verdict.reasons.join("; ")
    );
    let reasons = verdict.reasons.iter();
    let errors = reasons.map(|reason| Pointed::new("version", reason));
    Problem::new(Code::Conflict, detail).with_errors(errors.collect())
}

impl From<RetryPlan> for RetryOutcome {
    fn from(plan: RetryPlan) -> Self {
        let again = plan.runs_again.into_iter().map(|one| Again {
            task: one.task,
            kind: one.kind,
            times: one.times,
        });
        Self {
            from_task: plan.from_task,
            version: plan.version,
            runs_again: again.collect(),
        }
    }
}

impl From<Verdict> for MigrateOutcome {
    fn from(verdict: Verdict) -> Self {
        Self {
            maps: verdict.reasons.is_empty(),
            from: verdict.from,
            to: verdict.to,
            reasons: verdict.reasons,
            done: verdict.done,
        }
    }
}
