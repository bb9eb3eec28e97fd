//! The functions that `call` tasks may call.

use auterity_core::functions::{Durability, FunctionInfo};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;

use super::Tag;
use crate::edge;
use crate::error::Problem;
use crate::payload::{Json, Raw};
use crate::scope::Caller;

/// When the task after a call may begin.
#[derive(Debug, Serialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "FunctionDurability")]
enum When {
    /// After the call's result is committed.
    Strict,
    /// At once; after a crash the last calls may be repeated.
    Pipelined,
}

/// A function that `call` tasks may call.
#[derive(Debug, Serialize, Object)]
struct Function {
    /// What `call` names; with `name:version` it calls that version, else the highest.
    name: String,
    /// Its version.
    version: String,
    /// What it does.
    description: Option<String>,
    /// The JSON Schema of `with`; null: anything.
    input: Option<Raw>,
    /// The JSON Schema of the task's raw output; null: anything.
    output: Option<Raw>,
    /// When the task after a call may begin.
    durability: When,
    /// Whether what it writes commits together with its result: exactly once.
    transactional: bool,
    /// How long a call may take, as ISO 8601 duration; null: as long as its task.
    timeout: Option<String>,
    /// How long a call may give no sign of life, as ISO 8601 duration; null: for ever.
    heartbeat: Option<String>,
}

/// All functions.
#[derive(Debug, Serialize, Object)]
struct FunctionList {
    /// By name and version.
    items: Vec<Function>,
}

impl Function {
    fn of(info: FunctionInfo) -> Result<Self, Problem> {
        let schema = |schema: Option<serde_json::Value>| {
            let text = schema.map(|schema| schema.to_string());
            text.as_deref().map(Raw::from_text).transpose()
        };
        Ok(Self {
            name: info.name,
            version: info.version,
            description: info.signature.description,
            input: schema(info.signature.input)?,
            output: schema(info.signature.output)?,
            durability: match info.durability {
                Durability::Strict => When::Strict,
                Durability::Pipelined => When::Pipelined,
            },
            transactional: info.transactional,
            timeout: info.timeout.map(|time| time.to_string()),
            heartbeat: info.heartbeat.map(|time| time.to_string()),
        })
    }
}

pub(super) struct Api;

#[OpenApi(tag = "Tag::Workflows")]
impl Api {
    /// Lists the functions that `call` tasks may call, with what they take and give.
    #[oai(path = "/functions", method = "get", operation_id = "function_list")]
    #[expect(clippy::unused_async, reason = "the framework awaits each handler")]
    async fn list(&self, request: &Request, caller: Caller) -> Result<Json<FunctionList>, Problem> {
        let context = edge::context(request)?;
        caller.scope(Permission::WorkflowRead)?;
        let known = context.engine().functions().into_iter();
        let items: Result<_, Problem> = known.map(Function::of).collect();
        Ok(Json(FunctionList { items: items? }))
    }
}
