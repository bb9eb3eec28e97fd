//! Starts executions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::admission::{Admitted, Asked};
use super::execution::Active;
use super::life::Core;
use super::progress::{Given, Identity, Prepared, Progress, to_json};
use crate::definition::Program;
use crate::interpreter::{Event, fits};
use crate::store::{Entry, Gate, Next, Outcome, Parent, Start};
use crate::{Error, ErrorKind, ExecutionId, Scope, Violation};

/// Attributes that one execution may carry, and the bytes of a name or value.
const ATTRIBUTES_MAX: usize = 32;
const ATTRIBUTE_BYTES_MAX: usize = 256;
/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 255;
/// Executions at one gate that a newer start replaces.
const AT_GATE_MAX: u32 = 1_000;

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
    /// A repeated start with the same key finds the first execution.
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

/// A start that was checked and has leave.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) id: ExecutionId,
    pub(super) program: Arc<Program>,
    pub(super) input: Arc<Value>,
    pub(super) start: Start,
    /// Whether older executions at the first gate are cancelled for it.
    replaces: bool,
}

/// What checking a start gave.
#[derive(Debug)]
pub(super) enum Leave {
    /// Another execution stands in its place.
    Existing(ExecutionId),
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
            None => Some(self.starting.try_acquire().map_err(|_| overloaded())?),
            Some(_) => None,
        };
        let checked = match self.check_start(scope, request, origin).await? {
            Leave::Existing(id) => return Ok(Started { id, existing: true }),
            Leave::New(checked) => *checked,
        };
        if checked.start.gates.is_empty() {
            return self.commit_start(scope, checked).await;
        }
        let started = self.finish_queued(scope, checked).await?;
        self.ring().await;
        Ok(started)
    }

    /// Finds the program, checks the input and asks for leave.
    pub(super) async fn check_start(
        &self,
        scope: &Scope,
        request: StartRequest,
        origin: Origin,
    ) -> Result<Leave, Error> {
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
        let awaited = origin.parent.is_some_and(|parent| parent.effect.is_some());
        let admitted = if awaited {
            Admitted::default()
        } else {
            let asked = Asked {
                workflow: program.workflow(),
                input: &request.input,
                now,
            };
            self.ports.admission.admit(scope, &asked).await?
        };
        if let Some(id) = admitted.existing {
            return Ok(Leave::Existing(id));
        }
        let id = origin
            .id
            .unwrap_or_else(|| ExecutionId::generate(now, &*self.ports.entropy));
        let input = Arc::new(request.input);
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
            replaces: admitted.replaces,
        })))
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

    /// Begins an execution and commits that, here if there is room and nobody waits.
    async fn commit_start(
        self: &Arc<Self>,
        scope: &Scope,
        checked: Checked,
    ) -> Result<Started, Error> {
        let Checked {
            id, input, start, ..
        } = &checked;
        let id = *id;
        let given = Given {
            input: Arc::clone(&start.input),
            attributes: start.attributes.clone(),
        };
        let mut progress = Progress::new(Identity {
            tenant: scope.tenant(),
            execution: id,
            program: Arc::clone(&checked.program),
            parent: start.parent,
            started_at: start.at,
            given: Some(Arc::new(given)),
        });
        let event = Event::Started {
            input: Arc::clone(input),
        };
        let Prepared { mut entry, effects } =
            progress.prepare(self, std::slice::from_ref(&event), Vec::new(), true)?;
        entry.start = Some(checked.start);
        let life = self.life();
        let owned = entry.next == Next::Owned;
        let place = life.and_then(|life| {
            // Behind means that others wait: whoever has much at work waits its turn too.
            let behind = self.behind.load(Ordering::Relaxed);
            let may_stay = owned && (!behind || life.is_small(scope.tenant()));
            let permit = if may_stay { life.permit() } else { None };
            permit.map(|permit| (life, permit))
        });
        if owned && place.is_none() {
            entry.next = Next::Queued;
        }
        let (next, messages) = (entry.next.clone(), entry.messages.clone());
        let journal = place
            .as_ref()
            .map_or(&self.unfenced, |(life, _)| &life.journal);
        let started = started(id, journal.append(entry).await?)?;
        if started.existing {
            return Ok(started);
        }
        self.feed.grew(id, || progress.growth(&next));
        self.changed(progress.identity.tenant, || progress.row(&next));
        self.announce(&messages).await;
        match place {
            Some((life, permit)) => {
                let active = Active::new(Arc::clone(self), life, progress, permit);
                drop(self.routines.spawn("execution", active.work(effects)));
            }
            None if next == Next::Queued => self.ring().await,
            None => {}
        }
        Ok(started)
    }

    /// Puts an execution into the queue, and asks for the end of those that it replaces.
    pub(super) async fn finish_queued(
        &self,
        scope: &Scope,
        checked: Checked,
    ) -> Result<Started, Error> {
        let replaces = checked.replaces;
        let gate = checked.start.gates.first().cloned();
        let started = self.queue_start(scope, checked).await?;
        if let Some(gate) = gate.filter(|_| replaces && !started.existing) {
            self.replace_older(scope, &gate).await?;
        }
        Ok(started)
    }

    /// Puts an execution into the queue that begins when it is claimed.
    async fn queue_start(&self, scope: &Scope, checked: Checked) -> Result<Started, Error> {
        let progress = Progress::new(Identity {
            tenant: scope.tenant(),
            execution: checked.id,
            program: checked.program,
            parent: checked.start.parent,
            started_at: checked.start.at,
            given: None,
        });
        let entry = Entry {
            tenant: scope.tenant(),
            execution: checked.id,
            start: Some(checked.start),
            events: Vec::new(),
            snapshot: None,
            subscribe: Vec::new(),
            unsubscribe: Vec::new(),
            consumed: Vec::new(),
            messages: Vec::new(),
            next: Next::Queued,
        };
        let started = started(checked.id, self.unfenced.append(entry).await?)?;
        if !started.existing {
            self.changed(scope.tenant(), || progress.row(&Next::Queued));
        }
        Ok(started)
    }

    /// Says that something was put into the queue.
    pub(super) async fn ring(&self) {
        self.wake.notify_one();
        if self.life().is_none()
            && let Err(error) = self.ports.store.wake_send().await
        {
            tracing::debug!(error = %error, "other processes were not woken");
        }
    }

    /// Asks for the end of all executions at a gate but the newest. Whoever starts one
    /// there does it after its commit, so that of several at once one is left.
    async fn replace_older(&self, scope: &Scope, gate: &Gate) -> Result<(), Error> {
        let name = (&*gate.rule, &*gate.value);
        let there = self.ports.store.gate_list(scope, name, AT_GATE_MAX).await?;
        let mut started = Vec::with_capacity(there.len());
        for one in &there {
            let row = self.ports.store.execution_fetch(scope, one.execution);
            let at = row.await?.map(|row| row.started_at);
            started.push((at, one.execution));
        }
        let newest = started.into_iter().max().map(|(_, id)| id);
        let debounced = gate.not_before.is_some();
        for older in there {
            let counts = !(debounced && older.passed);
            if Some(older.execution) != newest && counts {
                let reason = "a newer start took its place";
                self.ask_end(scope, older.execution, Some(reason.to_owned()))
                    .await?;
            }
        }
        Ok(())
    }
}

/// Reads what became of a start's entry.
fn started(id: ExecutionId, outcome: Outcome) -> Result<Started, Error> {
    match outcome {
        Outcome::Recorded => Ok(Started {
            id,
            existing: false,
        }),
        Outcome::AlreadyRecorded => Ok(Started { id, existing: true }),
        Outcome::Exists(id) => Ok(Started { id, existing: true }),
        Outcome::Refused(reason) => {
            let message = format!("the database cannot take this start: {reason}");
            Err(Error::new(ErrorKind::Invalid, message))
        }
    }
}

fn overloaded() -> Error {
    let message = "more executions are being started than this process can take; try again later";
    Error::new(ErrorKind::Overloaded, message).with_retry_after(Duration::from_secs(1))
}
