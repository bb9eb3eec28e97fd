//! What the calls about workflows answer with.

use auterity_core::definition::{self, Program, WorkflowRef};
use auterity_core::store::{DefinitionRow, DefinitionSummary, DefinitionVersion, ExecutionRow};
use poem_openapi::Object;
use serde::Serialize;
use serde_json::Value;

use crate::api::executions::{ExecutionStatus, duration_ms};
use crate::payload::{Hash, Time};

/// An execution in few words.
#[derive(Debug, Serialize, Object)]
struct RecentExecution {
    /// The id.
    id: String,
    /// Where it stands.
    status: ExecutionStatus,
    /// How long it took, once it has ended.
    duration_ms: Option<i64>,
}

/// A workflow in a list: its highest version.
#[derive(Debug, Serialize, Object)]
pub(super) struct WorkflowSummary {
    /// Groups workflows.
    namespace: String,
    /// Unique in the namespace.
    name: String,
    /// The highest version.
    version: String,
    /// The title.
    title: Option<String>,
    /// The summary.
    summary: Option<String>,
    /// When that version was deployed.
    created_at: Time,
    /// The newest executions, oldest first.
    recent: Vec<RecentExecution>,
}

/// A page of workflows.
#[derive(Debug, Serialize, Object)]
pub(super) struct WorkflowPage {
    /// The workflows, by namespace and name.
    pub(super) items: Vec<WorkflowSummary>,
    /// Leads to the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

/// One version of a workflow.
#[derive(Debug, Serialize, Object)]
pub(super) struct Workflow {
    /// Groups workflows.
    namespace: String,
    /// Unique in the namespace.
    name: String,
    /// The version.
    version: String,
    /// The title.
    title: Option<String>,
    /// The summary.
    summary: Option<String>,
    /// When it was deployed.
    created_at: Time,
    /// The SHA-256 of the definition's text.
    hash: Hash,
    /// `yaml` or `json`.
    format: String,
    /// The text as it was deployed.
    definition: String,
    /// The JSON Schema of the input.
    input_schema: Option<Value>,
    /// All versions, the highest first.
    versions: Vec<String>,
}

/// One version in a list.
#[derive(Debug, Serialize, Object)]
pub(super) struct WorkflowVersion {
    /// The version.
    version: String,
    /// When it was deployed.
    created_at: Time,
    /// The SHA-256 of the definition's text.
    hash: Hash,
}

/// The versions of a workflow.
#[derive(Debug, Serialize, Object)]
pub(super) struct WorkflowVersions {
    /// The highest version first.
    pub(super) items: Vec<WorkflowVersion>,
}

/// One mistake in a definition.
#[derive(Debug, Serialize, Object)]
pub(super) struct Mistake {
    /// What kind of mistake it is, as a stable word.
    code: String,
    /// The JSON pointer of the place.
    pointer: String,
    /// What is wrong.
    detail: String,
    /// What to do about it.
    hint: Option<String>,
    /// Where it starts, counted from 1.
    line: u32,
    /// Where it starts, counted from 1, in characters.
    column: u32,
    /// Where it ends.
    end_line: u32,
    /// Where it ends: after its last character.
    end_column: u32,
}

/// What a check of a definition found.
#[derive(Debug, Serialize, Object)]
pub(super) struct Validation {
    /// Whether it could be deployed.
    pub(super) valid: bool,
    /// All mistakes, in order of their place.
    pub(super) errors: Vec<Mistake>,
}

impl WorkflowSummary {
    /// Sums up a workflow with its newest executions, the oldest of them first.
    pub(super) fn of(row: DefinitionSummary, recent: &[ExecutionRow]) -> Self {
        let WorkflowRef {
            namespace,
            name,
            version,
        } = row.workflow;
        Self {
            namespace,
            name,
            version,
            title: row.title,
            summary: row.summary,
            created_at: Time(row.created_at),
            recent: recent.iter().map(RecentExecution::from).collect(),
        }
    }
}

impl Workflow {
    pub(super) fn of(
        row: &DefinitionRow,
        program: &Program,
        versions: Vec<DefinitionVersion>,
    ) -> Self {
        let is_json = row.text.trim_start().starts_with('{');
        Self {
            namespace: row.workflow.namespace.clone(),
            name: row.workflow.name.clone(),
            version: row.workflow.version.clone(),
            title: row.title.clone(),
            summary: row.summary.clone(),
            created_at: Time(row.created_at),
            hash: Hash(row.hash),
            format: if is_json { "json" } else { "yaml" }.to_owned(),
            definition: row.text.as_ref().to_owned(),
            input_schema: program.input_schema().cloned(),
            versions: versions.into_iter().map(|row| row.version).collect(),
        }
    }
}

impl From<DefinitionVersion> for WorkflowVersion {
    fn from(row: DefinitionVersion) -> Self {
        Self {
            version: row.version,
            created_at: Time(row.created_at),
            hash: Hash(row.hash),
        }
    }
}

impl From<definition::Mistake> for Mistake {
    fn from(mistake: definition::Mistake) -> Self {
        Self {
            code: mistake.code.to_owned(),
            pointer: mistake.pointer,
            detail: mistake.message,
            hint: mistake.hint,
            line: mistake.start.line,
            column: mistake.start.column,
            end_line: mistake.end.line,
            end_column: mistake.end.column,
        }
    }
}

impl From<&ExecutionRow> for RecentExecution {
    fn from(row: &ExecutionRow) -> Self {
        Self {
            id: row.id.to_string(),
            status: row.status.into(),
            duration_ms: duration_ms(row),
        }
    }
}
