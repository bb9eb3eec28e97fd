//! Starts executions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::execution::Active;
use super::life::Core;
use super::progress::{Given, Identity, Prepared, Progress, to_json};
use crate::interpreter::{Event, fits};
use crate::store::{ExecutionRow, Next, Outcome, Parent, Start};
use crate::{Error, ErrorKind, ExecutionId, Scope, Violation};

/// Attributes that one execution may carry, and the bytes of a name or value.
const ATTRIBUTES_MAX: usize = 32;
const ATTRIBUTE_BYTES_MAX: usize = 256;
/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// What to start, and with what.
#[derive(Debug, Clone, Default)]
pub struct StartRequest {
    /// The workflow's namespace.
    pub namespace: String,
    /// The workflow's name.
    pub name: String,
    /// The version; absent: the highest.
    pub version: Option<String>,
    /// The raw input.
    pub input: Value,
    /// A repeated start with the same key finds the first execution; a start of
    /// something else with this key is refused.
    pub idempotency_key: Option<String>,
    /// Searchable names and values.
    pub attributes: BTreeMap<String, String>,
    /// Higher comes first when executions have to queue.
    pub priority: i32,
}

impl StartRequest {
    /// Names the highest version of a workflow, with no input and no options.
    #[must_use]
    pub fn of(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            ..Self::default()
        }
    }
}

/// What a start gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The execution.
    pub id: ExecutionId,
    /// Whether it had been started before, with the same idempotency key.
    pub existing: bool,
}

/// Where a start comes from, if from another execution.
#[derive(Debug, Default)]
pub(super) struct Origin {
    pub(super) id: Option<ExecutionId>,
    pub(super) parent: Option<Parent>,
}

/// What a start with a key asks for, to compare it with an earlier one of the same key.
struct Again {
    namespace: String,
    name: String,
    version: Option<String>,
    input: Arc<Value>,
    attributes: BTreeMap<String, String>,
}

impl Again {
    fn of(request: &StartRequest, input: &Arc<Value>) -> Option<Self> {
        request.idempotency_key.as_ref()?;
        Some(Self {
            namespace: request.namespace.clone(),
            name: request.name.clone(),
            version: request.version.clone(),
            input: Arc::clone(input),
            attributes: request.attributes.clone(),
        })
    }

    /// Compares with the first start as it is kept. Who names no version takes the one
    /// that was the highest then.
    fn is_of(&self, first: &ExecutionRow) -> bool {
        let workflow = &first.workflow;
        let same_version = self
            .version
            .as_ref()
            .is_none_or(|version| *version == workflow.version);
        let input = first
            .input
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        self.namespace == workflow.namespace
            && self.name == workflow.name
            && same_version
            && self.attributes == first.attributes
            && input.is_none_or(|input: Value| input == *self.input)
    }
}

impl Core {
    /// Starts an execution: runs it up to its first effects and commits that. If this
    /// worker has room the execution stays here, else it queues.
    pub(super) async fn start(
        self: &Arc<Self>,
        scope: &Scope,
        mut request: StartRequest,
        origin: Origin,
    ) -> Result<Started, Error> {
        self.check(&request)?;
        let now = self.now();
        let asked = (
            &*request.namespace,
            &*request.name,
            request.version.as_deref(),
        );
        let (_, program) = self
            .programs
            .named(scope, asked, now)
            .await?
            .ok_or_else(|| {
                let what = request.version.as_deref().unwrap_or("any version");
                let name = format!("{}/{}", request.namespace, request.name);
                let message = format!("there is no workflow {name} ({what}); deploy it first");
                Error::new(ErrorKind::NotFound, message)
            })?;
        program.check_input(&request.input).map_err(|found| {
            let message = "the input does not match the input schema of the workflow";
            let found = found
                .into_iter()
                .map(|(pointer, message)| Violation { pointer, message });
            Error::new(ErrorKind::Invalid, message).with_violations(found.collect())
        })?;
        let id = origin
            .id
            .unwrap_or_else(|| ExecutionId::generate(now, &*self.ports.entropy));
        let input = Arc::new(std::mem::take(&mut request.input));
        let again = Again::of(&request, &input);
        let start = Start {
            workflow: program.workflow().clone(),
            program: program.hash(),
            input: to_json(&input)?,
            parent: origin.parent,
            idempotency_key: request.idempotency_key,
            attributes: request.attributes,
            priority: request.priority,
            at: now,
        };
        let given = Given {
            input: Arc::clone(&start.input),
            attributes: start.attributes.clone(),
        };
        let progress = Progress::new(Identity {
            tenant: scope.tenant(),
            execution: id,
            program,
            parent: origin.parent,
            started_at: now,
            given: Some(Arc::new(given)),
        });
        let event = Event::Started { input };
        let started = self.commit_start(progress, start, event).await?;
        match again {
            Some(again) if started.existing => self.check_repeated(scope, started, &again).await,
            _ => Ok(started),
        }
    }

    /// Refuses a start whose key belongs to a start of something else: its caller
    /// would take the first execution for the one that was asked for.
    async fn check_repeated(
        &self,
        scope: &Scope,
        first: Started,
        again: &Again,
    ) -> Result<Started, Error> {
        let row = self.ports.store.execution_fetch(scope, first.id).await?;
        if row.is_none_or(|row| again.is_of(&row)) {
            return Ok(first);
        }
        let message = "the idempotency key belongs to an earlier start with another workflow, \
                       input or attributes; use a new key";
        Err(Error::new(ErrorKind::Conflict, message).with("execution", first.id))
    }

    fn check(&self, request: &StartRequest) -> Result<(), Error> {
        let limit = |message: String| Err(Error::new(ErrorKind::Limit, message));
        let most = self.options.execution.payload_bytes_max;
        if !fits(&request.input, most) {
            return limit(format!("the input is larger than {most} bytes of JSON"));
        }
        if ATTRIBUTES_MAX < request.attributes.len() {
            return limit(format!(
                "an execution carries at most {ATTRIBUTES_MAX} attributes"
            ));
        }
        let long = |text: &String| ATTRIBUTE_BYTES_MAX < text.len();
        if request
            .attributes
            .iter()
            .any(|(name, value)| long(name) || long(value))
        {
            return limit(format!(
                "the name or value of an attribute is longer than {ATTRIBUTE_BYTES_MAX} bytes"
            ));
        }
        if request
            .idempotency_key
            .as_ref()
            .is_some_and(|key| KEY_BYTES_MAX < key.len())
        {
            return limit(format!(
                "an idempotency key has at most {KEY_BYTES_MAX} bytes"
            ));
        }
        Ok(())
    }

    pub(super) async fn commit_start(
        self: &Arc<Self>,
        mut progress: Progress,
        start: Start,
        event: Event,
    ) -> Result<Started, Error> {
        let id = progress.identity.execution;
        let Prepared { mut entry, effects } =
            progress.prepare(self, std::slice::from_ref(&event), Vec::new(), true)?;
        entry.start = Some(start);
        let life = self.life();
        let owned = entry.next == Next::Owned;
        let place = life.and_then(|life| {
            let permit = if owned { life.permit() } else { None };
            permit.map(|permit| (life, permit))
        });
        if owned && place.is_none() {
            entry.next = Next::Queued;
        }
        let (next, messages) = (entry.next.clone(), entry.messages.clone());
        let told = self.lifecycle_is_read().then(|| entry.events.clone());
        // Until it is in memory; else it could be taken for one that was lost.
        let starting = place.as_ref().map(|(life, _)| Arc::clone(life));
        let _starting = starting.as_ref().map(|life| life.begin(id));
        let journal = place
            .as_ref()
            .map_or(&self.unfenced, |(life, _)| &life.journal);
        match journal.append(entry).await? {
            Outcome::Recorded => {}
            Outcome::AlreadyRecorded => return Ok(Started { id, existing: true }),
            Outcome::Exists(id) => return Ok(Started { id, existing: true }),
            Outcome::Refused(reason) => {
                let message = format!("the database cannot take this start: {reason}");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        self.feed.grew(id, || progress.growth(&next));
        if let Some(rows) = told {
            self.tell_lifecycle(&progress.identity, &rows, &next);
        }
        self.changed(progress.identity.tenant, || progress.row(&next));
        self.announce(&messages).await;
        match place {
            Some((life, permit)) => {
                let active = Active::new(Arc::clone(self), life, progress, permit);
                drop(self.routines.spawn("execution", active.work(effects)));
            }
            None if next == Next::Queued => self.queued().await,
            None => {}
        }
        Ok(Started {
            id,
            existing: false,
        })
    }
}
