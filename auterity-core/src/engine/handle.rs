//! What the rest of a program asks of the engine.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use serde_json::Value;

use super::feed::Growth;
use super::life::Core;
use super::start::{Origin, StartRequest, Started};
use crate::definition::{APPROVAL, Mistake, Program, WorkflowRef};
use crate::functions::{FunctionInfo, approval};
use crate::store::{
    DefinitionPut, DefinitionQuery, DefinitionRow, DefinitionSummary, DefinitionVersion, EventRow,
    ExecutionQuery, ExecutionRow, Page, Queued, Status, TaskProgress,
};
use crate::{Error, ErrorKind, ExecutionId, Scope};

/// Events that one page of history holds at most.
const EVENTS_MAX: u32 = 1_000;

/// The kind of the row that closes an execution's history.
const ENDED: &str = "execution.ended";

/// The way into a running engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) core: Arc<Core>,
    works: bool,
}

/// What a deployment gave.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The version as it is kept.
    pub row: DefinitionRow,
    /// Whether it is new; otherwise the same text had been deployed before.
    pub created: bool,
    /// The compiled definition.
    pub program: Arc<Program>,
}

/// Why a definition was not deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// It has mistakes: all of them, in order of their place.
    #[error("the definition has {} mistakes", .0.len())]
    Invalid(Vec<Mistake>),
    /// Something that it takes from elsewhere could not be got.
    #[error("{name} could not be got: {reason}")]
    External {
        /// What: a function of a catalog by its name, a schema by its place.
        name: String,
        /// Why not, with nothing of what the other side said.
        reason: String,
    },
    /// The version exists with another text.
    #[error("this version exists with another text; raise the version")]
    VersionExists,
    /// The engine could not keep it.
    #[error("the definition could not be kept")]
    Engine(#[source] Error),
}

/// An execution with what it is doing now.
#[derive(Debug, Clone)]
pub struct ExecutionView {
    /// The execution.
    pub row: ExecutionRow,
    /// The JSON pointers of the tasks at work; empty once it has ended.
    pub current_tasks: Vec<String>,
    /// How far functions under way have come, in their own words.
    pub progress: Vec<TaskProgress>,
    /// What keeps it, while it is pending.
    pub queued: Option<Queued>,
}

impl Handle {
    pub(super) fn new(core: Arc<Core>, works: bool) -> Self {
        Self { core, works }
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    /// Gives every mistake in a definition; none if it could be deployed.
    #[must_use]
    pub fn validate(&self, text: &str) -> Vec<Mistake> {
        self.core
            .programs
            .compile(text, None)
            .err()
            .unwrap_or_default()
    }

    /// Tells what is known about each function that definitions can call.
    #[must_use]
    pub fn functions(&self) -> Vec<FunctionInfo> {
        let mut known = self.core.ports.functions.describe();
        // A host may have one of its own under this name.
        let place = known.partition_point(|one| one.name.as_str() < APPROVAL);
        if !self.core.ports.functions.contains(APPROVAL) {
            known.insert(place, approval());
        }
        known
    }

    /// Deploys a definition as a version of its workflow.
    ///
    /// # Errors
    /// See [`DeployError`].
    ///
    /// # Cancel safety
    /// A dropped future may leave the version deployed; deploying it again is harmless.
    pub async fn deploy(&self, scope: &Scope, text: &str) -> Result<Deployment, DeployError> {
        let (program, externals) = self.core.compile_whole(scope, text).await?;
        let row = DefinitionRow {
            workflow: program.workflow().clone(),
            hash: program.hash(),
            title: program.title().map(str::to_owned),
            summary: program.summary().map(str::to_owned),
            text: Arc::from(text),
            externals,
            created_at: self.core.now(),
        };
        let put = self
            .core
            .ports
            .store
            .definition_put(scope, row.clone())
            .await;
        self.core.programs.forget_names();
        let put = put.map_err(DeployError::Engine)?;
        if put != DefinitionPut::Conflict {
            let WorkflowRef {
                namespace, name, ..
            } = program.workflow();
            let synced = self.core.sync_schedules(scope, namespace, name).await;
            synced.map_err(DeployError::Engine)?;
        }
        match put {
            DefinitionPut::Created => Ok(Deployment {
                row,
                created: true,
                program,
            }),
            DefinitionPut::Same => Ok(Deployment {
                row,
                created: false,
                program,
            }),
            DefinitionPut::Conflict => Err(DeployError::VersionExists),
        }
    }

    /// Deploys the definitions that stand for the engine's durable functions, so that the
    /// tenant can start them like any other workflow.
    ///
    /// # Errors
    /// See [`DeployError`].
    ///
    /// # Cancel safety
    /// A dropped future may leave some deployed; deploying them again is harmless.
    pub async fn deploy_durable_functions(
        &self,
        scope: &Scope,
    ) -> Result<Vec<Deployment>, DeployError> {
        let mut deployed = Vec::new();
        for function in self.core.ports.durable.iter() {
            deployed.push(self.deploy(scope, &function.definition()).await?);
        }
        Ok(deployed)
    }

    /// Finds a version of a workflow, or the highest, with its program.
    ///
    /// # Errors
    /// What the store says.
    pub async fn program(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<(Arc<DefinitionRow>, Arc<Program>)>, Error> {
        self.core
            .programs
            .named(scope, (namespace, name, version), self.core.now())
            .await
    }

    /// Lists workflows by namespace and name.
    ///
    /// # Errors
    /// What the store says.
    pub async fn workflows(
        &self,
        scope: &Scope,
        query: &DefinitionQuery,
    ) -> Result<Page<DefinitionSummary>, Error> {
        self.core.ports.store.definition_list(scope, query).await
    }

    /// Lists the versions of a workflow, highest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn workflow_versions(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<DefinitionVersion>, Error> {
        self.core
            .ports
            .store
            .definition_versions(scope, namespace, name)
            .await
    }

    /// Hides a workflow; executions that are pinned to it go on. Tells whether there
    /// was one.
    ///
    /// # Errors
    /// What the store says.
    pub async fn workflow_delete(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Error> {
        let deleted = self
            .core
            .ports
            .store
            .definition_delete(scope, namespace, name)
            .await;
        self.core.programs.forget_names();
        let deleted = deleted?;
        self.core.sync_schedules(scope, namespace, name).await?;
        Ok(deleted)
    }

    /// Starts an execution; returns once its start is committed.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a workflow,
    /// [`Invalid`](ErrorKind::Invalid) with [violations](Error::violations) when the
    /// input breaks its schema, [`Limit`](ErrorKind::Limit) when something is too large,
    /// [`Conflict`](ErrorKind::Conflict) when the idempotency key belongs to a start of
    /// something else, [`Throttled`](ErrorKind::Throttled) or
    /// [`Overloaded`](ErrorKind::Overloaded) when it is refused for now, with the
    /// [time](Error::retry_after) after which to try again.
    ///
    /// # Cancel safety
    /// A dropped future may leave the execution started; use an idempotency key.
    pub async fn start(&self, scope: &Scope, request: StartRequest) -> Result<Started, Error> {
        self.core.start(scope, request, Origin::default()).await
    }

    /// Waits for an execution's end, at most for the given time, and gives where it
    /// stands then.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an execution.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn wait(
        &self,
        scope: &Scope,
        id: ExecutionId,
        within: Duration,
    ) -> Result<ExecutionRow, Error> {
        let clock = &self.core.ports.clock;
        let deadline = clock.now() + within;
        // In this order: what ends between the two looks is then seen by one of them.
        let mut growth = self.core.feed.follow_end(id);
        let life = self.core.life();
        let here = life.is_some_and(|life| life.has(scope.tenant(), id));
        if !here {
            let row = self.fetch(scope, id).await?;
            if row.status.is_ended() {
                return Ok(row);
            }
        }
        loop {
            let look = (clock.now() + self.core.options.poll).min(deadline);
            let ended = tokio::select! {
                biased;
                ended = growth.wait_for(|growth| growth.ended) => {
                    ended.ok().and_then(|growth| growth.row.clone())
                }
                () = clock.sleep_until(look) => None,
            };
            if let Some(row) = ended.filter(|_| here) {
                return Ok(ExecutionRow::clone(&row));
            }
            let row = self.fetch(scope, id).await?;
            if row.status.is_ended() || deadline <= clock.now() {
                return Ok(row);
            }
        }
    }

    pub(super) async fn fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<ExecutionRow, Error> {
        self.core
            .ports
            .store
            .execution_fetch(scope, id)
            .await?
            .ok_or_else(|| not_found(id))
    }

    /// Fetches an execution with what it is doing now.
    ///
    /// # Errors
    /// What the store says.
    pub async fn execution(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionView>, Error> {
        let store = &self.core.ports.store;
        let Some(row) = store.execution_fetch(scope, id).await? else {
            return Ok(None);
        };
        let (mut current_tasks, mut said) = (Vec::new(), Vec::new());
        if !row.status.is_ended()
            && let Some(progress) = self.progress(id).await?
        {
            current_tasks = progress.state.current_tasks(&progress.identity.program);
            said = store.task_progress_fetch(scope, id).await?;
            self.core.heartbeats.renew((scope.tenant(), id), &mut said);
            said.retain(|one| progress.state.expects(one.effect));
        }
        let queued = match row.status {
            Status::Pending => store.queue_place(scope, id).await?,
            _ => None,
        };
        Ok(Some(ExecutionView {
            row,
            current_tasks,
            progress: said,
            queued,
        }))
    }

    /// Lists executions, newest first, without input, output and error.
    ///
    /// # Errors
    /// What the store says.
    pub async fn executions(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error> {
        self.core.ports.store.execution_list(scope, query).await
    }

    /// Lists the newest executions of each of the workflows, whatever their version.
    ///
    /// # Errors
    /// What the store says.
    pub async fn executions_recent(
        &self,
        scope: &Scope,
        workflows: &[WorkflowRef],
        each_max: u32,
    ) -> Result<Vec<ExecutionRow>, Error> {
        self.core
            .ports
            .store
            .execution_recent(scope, workflows, each_max)
            .await
    }

    /// Lists an execution's events after a sequence number. The history of an ended
    /// execution closes with a row of kind `execution.ended`.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such an execution.
    pub async fn events(
        &self,
        scope: &Scope,
        id: ExecutionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let limit = limit.clamp(1, EVENTS_MAX);
        // Read in this order: whatever ends in between is then not missed.
        let row = self.fetch(scope, id).await?;
        let mut events = self
            .core
            .ports
            .store
            .journal_list(scope, id, after, limit)
            .await?;
        let complete = events.len() < limit as usize;
        if complete && row.status.is_ended() {
            let last = events.last().map_or(after, |event| event.sequence);
            let closed = events.is_empty() && self.is_closed(scope, id, after).await?;
            if !closed {
                events.push(closing_row(&row, last + 1));
            }
        }
        Ok(events)
    }

    /// Tells whether the execution has ended and the reader has had its whole history.
    async fn is_over(&self, scope: &Scope, id: ExecutionId, after: u64) -> Result<bool, Error> {
        let row = self.fetch(scope, id).await?;
        Ok(row.status.is_ended() && self.events(scope, id, after, 1).await?.is_empty())
    }

    /// Tells whether the reader has had the closing row already.
    async fn is_closed(&self, scope: &Scope, id: ExecutionId, after: u64) -> Result<bool, Error> {
        let Some(before) = after.checked_sub(1) else {
            return Ok(false);
        };
        let real = self
            .core
            .ports
            .store
            .journal_list(scope, id, before, 1)
            .await?;
        Ok(real.is_empty())
    }

    /// Follows an execution: its history after the sequence number, then each event
    /// as it is committed, up to and with `execution.ended`.
    pub fn follow(
        &self,
        scope: Scope,
        id: ExecutionId,
        after: u64,
    ) -> impl Stream<Item = Result<EventRow, Error>> + Send + use<> {
        struct Following {
            handle: Handle,
            scope: Scope,
            after: u64,
            ready: std::vec::IntoIter<EventRow>,
            growth: tokio::sync::watch::Receiver<Growth>,
            over: bool,
        }
        let growth = self.core.feed.follow(id);
        let ready = Vec::new().into_iter();
        let start = Following {
            handle: self.clone(),
            scope,
            after,
            ready,
            growth,
            over: false,
        };
        stream::unfold(start, move |mut state| async move {
            loop {
                if let Some(row) = state.ready.next() {
                    state.after = row.sequence;
                    state.over = is_closing(&row);
                    return Some((Ok(row), state));
                }
                if state.over {
                    return None;
                }
                state.growth.mark_unchanged();
                match state
                    .handle
                    .events(&state.scope, id, state.after, EVENTS_MAX)
                    .await
                {
                    Ok(rows) if rows.is_empty() => {
                        // Whoever has had the closing row already gets nothing more.
                        match state.handle.is_over(&state.scope, id, state.after).await {
                            Ok(true) => return None,
                            Ok(false) => {}
                            Err(error) => {
                                state.over = true;
                                return Some((Err(error), state));
                            }
                        }
                        let core = &state.handle.core;
                        let look = core.now() + core.options.poll;
                        tokio::select! {
                            biased;
                            _ = state.growth.changed() => {}
                            () = core.ports.clock.sleep_until(look) => {}
                        }
                    }
                    Ok(rows) => state.ready = rows.into_iter(),
                    Err(error) => {
                        state.over = true;
                        return Some((Err(error), state));
                    }
                }
            }
        })
    }

    /// Brings a `CloudEvent` in structured form to the executions that listen for it;
    /// gives their number.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) when a required attribute is missing.
    pub async fn publish(&self, scope: &Scope, event: &Value) -> Result<u32, Error> {
        self.core.publish(scope, event).await
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// What the store says.
    pub async fn ping(&self) -> Result<(), Error> {
        self.core.ports.store.ping().await
    }

    /// Tells whether the engine takes on work: its worker, if it has one, holds its lease.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let alive = self.core.life().is_some_and(|life| !life.is_over());
        !self.core.routines.stopping().is_cancelled() && (alive || !self.works)
    }
}

fn not_found(id: ExecutionId) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such execution").with("execution", id)
}

/// Tells whether the row closes a history. An execution that went on after its end has
/// a row of that kind in the middle of its history, with the end in it.
fn is_closing(row: &EventRow) -> bool {
    row.kind == ENDED && &*row.payload == "null"
}

fn closing_row(row: &ExecutionRow, sequence: u64) -> EventRow {
    EventRow {
        sequence,
        at: row.ended_at.unwrap_or(row.started_at),
        kind: ENDED,
        payload: Arc::from("null"),
        records: Arc::from("[]"),
    }
}
