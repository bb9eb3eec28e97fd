//! Starts executions: what is asked for, and whether it may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::SemaphorePermit;

use super::admission::{Admitted, Asked, Hold, Purpose};
use super::life::Core;
use super::progress::to_json;
use crate::definition::Program;
use crate::interpreter::fits;
use crate::store::{ExecutionRow, Parent, Start};
use crate::{Error, ErrorKind, ExecutionId, Scope, Violation};

/// Attributes that one execution may carry, and the bytes of a name or value.
const ATTRIBUTES_MAX: usize = 32;
const ATTRIBUTE_BYTES_MAX: usize = 256;
/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// When to come again to a process with too many starts under way.
const OVERLOAD_RETRY: Duration = Duration::from_secs(1);

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
    /// How many executions above it wait for its end.
    pub(super) nesting: u32,
}

/// What a start with a key asks for, to compare it with an earlier one of the same key.
#[derive(Debug)]
pub(super) struct Again {
    namespace: String,
    name: String,
    version: Option<String>,
    input: Arc<Value>,
    attributes: BTreeMap<String, String>,
    priority: i32,
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
            priority: request.priority,
        })
    }

    /// Compares with the first start as it is kept. Who names no version takes the one
    /// that was the highest then, and who names no priority the workflow's.
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
            && (self.priority == 0 || self.priority == first.priority)
            && input.is_none_or(|input: Value| input == *self.input)
    }
}

/// A start that was checked and has leave.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) id: ExecutionId,
    pub(super) program: Arc<Program>,
    pub(super) input: Arc<Value>,
    pub(super) start: Start,
    /// How many executions above it wait for its end; none, if it passes gates.
    pub(super) nesting: u32,
    /// Whether older executions at the first gate are cancelled for it.
    pub(super) replaces: bool,
    /// Kept until the start is in the store or has failed.
    pub(super) hold: Option<Hold>,
    again: Option<Again>,
    /// Whether the id was made for this start, so that no earlier one can have it.
    fresh: bool,
}

/// What checking a start gave.
#[derive(Debug)]
pub(super) enum Leave {
    /// Another execution stands in its place; if because of its key, what it is compared by.
    There(ExecutionId, Option<Again>),
    /// It may be started.
    New(Box<Checked>),
}

impl Core {
    /// Starts an execution: runs it up to its first effects and commits that. If this
    /// worker has room and nobody waits for it the execution stays here, else it queues.
    /// One that has to pass gates queues before anything of it is run.
    pub(super) async fn start(
        self: &Arc<Self>,
        scope: &Scope,
        request: StartRequest,
        origin: Origin,
    ) -> Result<Started, Error> {
        let _place = match origin.parent {
            None => Some(self.places(1)?),
            Some(_) => None,
        };
        let mut checked = match self.check_start(scope, request, origin).await? {
            Leave::There(id, again) => {
                let first = Started { id, existing: true };
                return self.check_repeated(scope, first, (again, None)).await;
            }
            Leave::New(checked) => *checked,
        };
        let (again, fresh) = (checked.again.take(), checked.fresh.then_some(checked.id));
        let started = if checked.start.gates.is_empty() {
            self.begin(scope, checked).await?
        } else {
            let started = self.enqueue(scope, checked).await?;
            self.queued().await;
            started
        };
        self.check_repeated(scope, started, (again, fresh)).await
    }

    /// Puts a checked start into the queue without a word to workers.
    pub(super) async fn start_later(&self, scope: &Scope, leave: Leave) -> Result<Started, Error> {
        let (started, again, fresh) = match leave {
            Leave::There(id, again) => (Started { id, existing: true }, again, None),
            Leave::New(mut checked) => {
                let (again, fresh) = (checked.again.take(), checked.fresh.then_some(checked.id));
                (self.enqueue(scope, *checked).await?, again, fresh)
            }
        };
        self.check_repeated(scope, started, (again, fresh)).await
    }

    /// Takes places for so many starts from outside, until what this gives is dropped.
    pub(super) fn places(&self, count: u32) -> Result<SemaphorePermit<'_>, Error> {
        let places = self.starting.try_acquire_many(count).map_err(|_| {
            let message = "more executions are being started than this process can take \
                           (starts_max); try again later";
            Error::new(ErrorKind::Overloaded, message).with_retry_after(OVERLOAD_RETRY)
        });
        places.inspect_err(|error| self.meter.refused(error))
    }

    /// Finds the program, checks the input and asks for leave.
    pub(super) async fn check_start(
        &self,
        scope: &Scope,
        mut request: StartRequest,
        origin: Origin,
    ) -> Result<Leave, Error> {
        self.check(&request)?;
        let now = self.now();
        let program = self.program_to_start(scope, &request).await?;
        program.check_input(&request.input).map_err(|found| {
            let message = "the input does not match the input schema of the workflow";
            let found = found
                .into_iter()
                .map(|(pointer, message)| Violation { pointer, message });
            Error::new(ErrorKind::Invalid, message).with_violations(found.collect())
        })?;
        let awaited = origin.parent.is_some_and(|parent| parent.effect.is_some());
        let admitted = if awaited {
            Admitted::default()
        } else {
            let asked = Asked {
                purpose: Purpose::Start,
                workflow: program.workflow(),
                input: &request.input,
                idempotency_key: request.idempotency_key.as_deref(),
                now,
            };
            let admitted = self.ports.admission.admit(scope, &asked).await;
            admitted.inspect_err(|error| self.meter.refused(error))?
        };
        if let Some(id) = admitted.existing {
            return Ok(Leave::There(id, None));
        }
        let id = origin
            .id
            .unwrap_or_else(|| ExecutionId::generate(now, &*self.ports.entropy));
        let input = Arc::new(std::mem::take(&mut request.input));
        let again = Again::of(&request, &input);
        if let Some(id) = admitted.repeated {
            return Ok(Leave::There(id, again));
        }
        let start = Start {
            workflow: program.workflow().clone(),
            program: program.hash(),
            input: to_json(&input)?,
            parent: origin.parent,
            idempotency_key: request.idempotency_key,
            attributes: request.attributes,
            priority: match request.priority {
                0 => admitted.priority,
                asked => asked,
            },
            gates: admitted.gates,
            at: now,
        };
        Ok(Leave::New(Box::new(Checked {
            id,
            program,
            input,
            start,
            nesting: origin.nesting,
            replaces: admitted.replaces,
            hold: admitted.hold,
            again,
            fresh: origin.id.is_none(),
        })))
    }

    async fn program_to_start(
        &self,
        scope: &Scope,
        request: &StartRequest,
    ) -> Result<Arc<Program>, Error> {
        let asked = (
            &*request.namespace,
            &*request.name,
            request.version.as_deref(),
        );
        let found = self.programs.named(scope, asked, self.now()).await?;
        found.map(|(_, program)| program).ok_or_else(|| {
            let what = request.version.as_deref().unwrap_or("any version");
            let name = format!("{}/{}", request.namespace, request.name);
            let message = format!("there is no workflow {name} ({what}); deploy it first");
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// Refuses a start whose key belongs to a start of something else: its caller
    /// would take the first execution for the one that was asked for.
    async fn check_repeated(
        &self,
        scope: &Scope,
        mut first: Started,
        (again, fresh): (Option<Again>, Option<ExecutionId>),
    ) -> Result<Started, Error> {
        // That was a write of this start whose answer was lost.
        first.existing &= fresh != Some(first.id);
        let Some(again) = again.filter(|_| first.existing) else {
            return Ok(first);
        };
        let row = self.ports.store.execution_fetch(scope, first.id).await?;
        if row.is_none_or(|row| again.is_of(&row)) {
            return Ok(first);
        }
        let message = "the idempotency key belongs to an earlier start with another workflow, \
                       input, attributes or priority; use a new key";
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
}
