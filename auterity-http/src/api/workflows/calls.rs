//! The calls. They stand together because several have one address.

use std::collections::HashMap;

use auterity_core::Scope;
use auterity_core::definition::WorkflowRef;
use auterity_core::store::{DefinitionQuery, DefinitionSummary, ExecutionRow};
use auterity_tenancy::Permission;
use poem::Request;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::{ApiResponse, OpenApi, ResponseContent};

use super::documents::{
    Mistake, Validation, Workflow, WorkflowPage, WorkflowSummary, WorkflowVersion, WorkflowVersions,
};
use crate::api::{PREFIX, Tag};
use crate::detach::detached;
use crate::edge;
use crate::error::Problem;
use crate::etag;
use crate::page::{self, Listing};
use crate::payload::{DefinitionBody, Json, YamlText};
use crate::scope::Caller;
use crate::services::Context;

/// Executions that the list shows of each workflow.
const RECENT_MAX: u32 = 60;
/// Characters of a search text at most.
const SEARCH_LENGTH_MAX: usize = 200;

#[expect(
    clippy::large_enum_variant,
    reason = "lives from the handler's end to the answer's beginning"
)]
#[derive(ResponseContent)]
enum WorkflowContent {
    Envelope(Json<Workflow>),
    Text(YamlText),
}

#[expect(
    clippy::large_enum_variant,
    reason = "lives from the handler's end to the answer's beginning"
)]
#[derive(ApiResponse)]
enum WorkflowReply {
    /// The workflow.
    #[oai(status = 200)]
    Found(
        WorkflowContent,
        #[oai(header = "ETag")] String,
        #[oai(header = "Vary")] String,
    ),
    /// The client has it already.
    #[oai(status = 304)]
    Same(#[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
enum DeployReply {
    /// The version is deployed.
    #[oai(status = 201)]
    Created(Json<Workflow>, #[oai(header = "Location")] String),
    /// The same text was deployed as this version before.
    #[oai(status = 200)]
    Existing(Json<Workflow>, #[oai(header = "Location")] String),
}

#[derive(ApiResponse)]
enum DeletedReply {
    /// It is gone; executions that run go on.
    #[oai(status = 204)]
    Done,
}

pub(in crate::api) struct Api;

#[OpenApi(prefix_path = "/workflows", tag = "Tag::Workflows")]
impl Api {
    /// Deploys a definition as a version of its workflow.
    #[oai(path = "/", method = "post", operation_id = "workflow_deploy")]
    async fn deploy(
        &self,
        request: &Request,
        caller: Caller,
        body: DefinitionBody,
    ) -> Result<DeployReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::WorkflowDeploy)?;
        let engine = context.engine().clone();
        let (deployment, workflow) = detached(&context, "deploy", async move {
            let deployment = engine.deploy(&scope, &body.0).await?;
            let named = &deployment.row.workflow;
            let versions = engine
                .workflow_versions(&scope, &named.namespace, &named.name)
                .await?;
            let workflow = Workflow::of(&deployment.row, &deployment.program, versions);
            Ok((deployment, workflow))
        })
        .await?;
        let location = location_of(&deployment.row.workflow);
        Ok(if deployment.created {
            DeployReply::Created(Json(workflow), location)
        } else {
            DeployReply::Existing(Json(workflow), location)
        })
    }

    /// Finds every mistake in a definition without deploying it.
    #[oai(
        path = "/validate",
        method = "post",
        operation_id = "workflow_validate"
    )]
    async fn validate(
        &self,
        request: &Request,
        caller: Caller,
        body: DefinitionBody,
    ) -> Result<Json<Validation>, Problem> {
        let context = edge::context(request)?;
        caller.scope(Permission::WorkflowRead)?;
        let engine = context.engine().clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "compiling a large definition takes longer than the runtime should be held"
        )]
        let checked = tokio::task::spawn_blocking(move || engine.validate(&body.0)).await;
        let mistakes = checked.map_err(Problem::internal)?;
        Ok(Json(Validation {
            valid: mistakes.is_empty(),
            errors: mistakes.into_iter().map(Mistake::from).collect(),
        }))
    }

    /// Lists workflows by namespace and name, each with its highest version.
    #[oai(path = "/", method = "get", operation_id = "workflow_list")]
    async fn list(
        &self,
        request: &Request,
        caller: Caller,
        /// Items on the page, 1 to 200.
        limit: Query<Option<u32>>,
        /// The `next_cursor` of the page before.
        cursor: Query<Option<String>>,
        /// Text that namespace, name or title must contain.
        q: Query<Option<String>>,
    ) -> Result<Json<WorkflowPage>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::WorkflowRead)?;
        let text = q.0.filter(|text| !text.is_empty());
        if text
            .as_ref()
            .is_some_and(|text| SEARCH_LENGTH_MAX < text.chars().count())
        {
            let detail = format!("has more than {SEARCH_LENGTH_MAX} characters");
            return Err(Problem::parameter("q", &detail));
        }
        let words = text.clone().unwrap_or_default();
        let list = Listing::new(&context, &scope, "workflows", &words);
        let query = DefinitionQuery {
            text,
            after: list.position(cursor.0.as_deref())?,
            limit: page::limit(limit.0)?,
        };
        let page = context.engine().workflows(&scope, &query).await?;
        let last = page.items.last().filter(|_| page.more);
        let position = last.map(|row| (&row.workflow.namespace, &row.workflow.name));
        let next_cursor = list.cursor(position)?;
        let items = with_recent(&context, &scope, page.items).await?;
        Ok(Json(WorkflowPage { items, next_cursor }))
    }

    /// Gives the highest version of a workflow.
    #[oai(
        path = "/:namespace/:name",
        method = "get",
        operation_id = "workflow_get"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each argument is one parameter of the call"
    )]
    async fn get(
        &self,
        request: &Request,
        caller: Caller,
        namespace: Path<String>,
        name: Path<String>,
        /// `application/yaml` gives the bare text.
        #[oai(name = "Accept")]
        accept: Header<Option<String>>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
    ) -> Result<WorkflowReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::WorkflowRead)?;
        let wanted = Wanted {
            namespace: &namespace.0,
            name: &name.0,
            version: None,
            accept: accept.0.as_deref(),
            known: if_none_match.0.as_deref(),
        };
        read(&context, &scope, wanted).await
    }

    /// Gives one version of a workflow.
    #[oai(
        path = "/:namespace/:name/versions/:version",
        method = "get",
        operation_id = "workflow_version_get"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "each argument is one parameter of the call"
    )]
    async fn get_version(
        &self,
        request: &Request,
        caller: Caller,
        namespace: Path<String>,
        name: Path<String>,
        version: Path<String>,
        /// `application/yaml` gives the bare text.
        #[oai(name = "Accept")]
        accept: Header<Option<String>>,
        #[oai(name = "If-None-Match")] if_none_match: Header<Option<String>>,
    ) -> Result<WorkflowReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::WorkflowRead)?;
        let wanted = Wanted {
            namespace: &namespace.0,
            name: &name.0,
            version: Some(&version.0),
            accept: accept.0.as_deref(),
            known: if_none_match.0.as_deref(),
        };
        read(&context, &scope, wanted).await
    }

    /// Lists the versions of a workflow, the highest first.
    #[oai(
        path = "/:namespace/:name/versions",
        method = "get",
        operation_id = "workflow_versions"
    )]
    async fn versions(
        &self,
        request: &Request,
        caller: Caller,
        namespace: Path<String>,
        name: Path<String>,
    ) -> Result<Json<WorkflowVersions>, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::WorkflowRead)?;
        let rows = context
            .engine()
            .workflow_versions(&scope, &namespace.0, &name.0)
            .await?;
        if rows.is_empty() {
            return Err(Problem::not_found());
        }
        let items = rows.into_iter().map(WorkflowVersion::from).collect();
        Ok(Json(WorkflowVersions { items }))
    }

    /// Deletes a workflow with all its versions; executions that run go on.
    #[oai(
        path = "/:namespace/:name",
        method = "delete",
        operation_id = "workflow_delete"
    )]
    async fn delete(
        &self,
        request: &Request,
        caller: Caller,
        namespace: Path<String>,
        name: Path<String>,
    ) -> Result<DeletedReply, Problem> {
        let context = edge::context(request)?;
        let scope = caller.scope(Permission::WorkflowDelete)?;
        let engine = context.engine().clone();
        let deleted = detached(&context, "workflow delete", async move {
            Ok(engine
                .workflow_delete(&scope, &namespace.0, &name.0)
                .await?)
        })
        .await?;
        if deleted {
            Ok(DeletedReply::Done)
        } else {
            Err(Problem::not_found())
        }
    }
}

/// Which version, in which form.
struct Wanted<'a> {
    namespace: &'a str,
    name: &'a str,
    version: Option<&'a str>,
    accept: Option<&'a str>,
    /// The client's `If-None-Match`.
    known: Option<&'a str>,
}

async fn read(
    context: &Context,
    scope: &Scope,
    wanted: Wanted<'_>,
) -> Result<WorkflowReply, Problem> {
    let engine = context.engine();
    let found = engine
        .program(scope, wanted.namespace, wanted.name, wanted.version)
        .await?;
    let (row, program) = found.ok_or_else(Problem::not_found)?;
    let vary = "Accept, Authorization".to_owned();
    if wanted.accept.is_some_and(prefers_yaml) {
        let tag = format!("\"{}\"", row.hash);
        if etag::names(wanted.known, &tag) {
            return Ok(WorkflowReply::Same(tag));
        }
        let text = YamlText(row.text.as_ref().to_owned());
        return Ok(WorkflowReply::Found(WorkflowContent::Text(text), tag, vary));
    }
    let versions = engine
        .workflow_versions(scope, wanted.namespace, wanted.name)
        .await?;
    // The envelope lists the versions, so it changes with them too.
    let tag = format!("\"{}-{}\"", row.hash, versions.len());
    if etag::names(wanted.known, &tag) {
        return Ok(WorkflowReply::Same(tag));
    }
    let workflow = Workflow::of(&row, &program, versions);
    let content = WorkflowContent::Envelope(Json(workflow));
    Ok(WorkflowReply::Found(content, tag, vary))
}

fn prefers_yaml(accept: &str) -> bool {
    let first = accept.split(',').next().unwrap_or_default();
    let media_type = first.split(';').next().unwrap_or_default().trim();
    matches!(
        media_type,
        "application/yaml" | "application/x-yaml" | "text/yaml"
    )
}

async fn with_recent(
    context: &Context,
    scope: &Scope,
    rows: Vec<DefinitionSummary>,
) -> Result<Vec<WorkflowSummary>, Problem> {
    let named: Vec<WorkflowRef> = rows.iter().map(|row| row.workflow.clone()).collect();
    let mut recent: HashMap<(String, String), Vec<ExecutionRow>> = HashMap::new();
    if !named.is_empty() {
        let found = context
            .engine()
            .executions_recent(scope, &named, RECENT_MAX)
            .await?;
        for row in found {
            let key = (row.workflow.namespace.clone(), row.workflow.name.clone());
            recent.entry(key).or_default().push(row);
        }
    }
    let summaries = rows.into_iter().map(|row| {
        let WorkflowRef {
            namespace, name, ..
        } = &row.workflow;
        let key = (namespace.clone(), name.clone());
        let mut executions = recent.remove(&key).unwrap_or_default();
        executions.sort_by_key(|row| (row.started_at, row.id));
        WorkflowSummary::of(row, &executions)
    });
    Ok(summaries.collect())
}

/// The names of a definition are DNS labels and its version is a semantic version,
/// so neither needs encoding in a path but for the version's plus sign.
fn location_of(workflow: &WorkflowRef) -> String {
    format!(
        "{}/workflows/{}/{}/versions/{}",
        PREFIX,
        workflow.namespace,
        workflow.name,
        workflow.version.replace('+', "%2B")
    )
}
