//! Commits starts: executions begin here, or queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;

use super::control::Action;
use super::execution::Active;
use super::journal::Appended;
use super::life::{Core, Life};
use super::progress::{Given, Identity, Prepared, Progress};
use super::start::{Checked, Started};
use crate::interpreter::Event;
use crate::store::{Entry, Gate, Next, Outcome, Start};
use crate::{Error, ErrorKind, ExecutionId, Scope, TenantId};

/// Executions at one gate that a newer start replaces.
const AT_GATE_MAX: u32 = 1_000;

impl Core {
    /// Begins an execution that passes no gates.
    pub(super) async fn begin(
        self: &Arc<Self>,
        scope: &Scope,
        checked: Checked,
    ) -> Result<Started, Error> {
        let start = checked.start;
        let given = Given {
            input: Arc::clone(&start.input),
            attributes: start.attributes.clone(),
        };
        let mut progress = Progress::new(Identity {
            tenant: scope.tenant(),
            execution: checked.id,
            program: checked.program,
            parent: start.parent,
            started_at: start.at,
            priority: start.priority,
            given: Some(Arc::new(given)),
        });
        progress.code = self.code(&progress.identity.program, checked.id);
        let event = Event::Started {
            input: checked.input,
            nesting: checked.nesting,
        };
        let _hold = checked.hold;
        self.commit_start(progress, start, event).await
    }

    /// Commits an execution with its first event: here if it passes no gates, there is
    /// room and nobody waits, else into the queue.
    pub(super) async fn commit_start(
        self: &Arc<Self>,
        mut progress: Progress,
        mut start: Start,
        event: Event,
    ) -> Result<Started, Error> {
        let id = progress.identity.execution;
        let Prepared {
            mut entry,
            effects,
            tally,
        } = progress
            .prepare(self, std::slice::from_ref(&event), Vec::new(), true)
            .await?;
        let ends = matches!(entry.next, Next::Ended(_));
        if ends {
            // Nothing is left that could be held.
            start.gates.clear();
        }
        let held = !start.gates.is_empty() || (progress.lacks_code() && !ends);
        entry.start = Some(Box::new(start));
        let owned = entry.next == Next::Owned && !held;
        let place = self.life().filter(|_| owned).and_then(|life| {
            let permit = self.permit(&life, progress.identity.tenant)?;
            // Until it is in memory; else it could be taken for one that was lost.
            Some((life.begin(id), life, permit))
        });
        if held || (owned && place.is_none()) {
            entry.next = Next::Queued;
        }
        let journal = place
            .as_ref()
            .map_or(&self.unfenced, |(_, life, _)| &life.journal);
        let Appended { outcome, entry } = journal.append(entry).await?;
        let started = started(id, outcome)?;
        if started.existing {
            // It may be there by a write of this start whose answer was lost: then it is
            // the worker's, and nobody works on it, as if this future had been dropped.
            return Ok(started);
        }
        self.meter.started();
        let next = &entry.next;
        self.meter.committed(&tally, next);
        self.feed.grew(id, next, || progress.growth(next));
        if self.lifecycle_is_read() {
            self.tell_lifecycle(&progress.identity, &entry.events, next);
        }
        self.changed(progress.identity.tenant, || progress.row(next));
        self.announce(&entry.messages).await;
        match place {
            Some((starting, life, permit)) => {
                let active = Active::new(Arc::clone(self), life, progress, permit);
                drop(self.routines.spawn("execution", active.work(effects)));
                starting.arrived();
            }
            None if *next == Next::Queued => self.queued().await,
            None => {}
        }
        Ok(started)
    }

    /// Gives room to a start, unless others wait for it: whoever has much at work waits
    /// its turn too.
    fn permit(&self, life: &Life, tenant: TenantId) -> Option<OwnedSemaphorePermit> {
        let behind = self.behind.load(Ordering::Relaxed);
        (!behind || life.is_small(tenant))
            .then(|| life.permit())
            .flatten()
    }

    /// Puts an execution into the queue that begins when it is claimed, and asks for the
    /// end of those that it replaces. Tells no worker.
    pub(super) async fn enqueue(&self, scope: &Scope, checked: Checked) -> Result<Started, Error> {
        let _hold = checked.hold;
        let gate = checked.start.gates.first().cloned();
        let replaced = gate.filter(|_| checked.replaces);
        let progress = Progress::new(Identity {
            tenant: scope.tenant(),
            execution: checked.id,
            program: checked.program,
            parent: checked.start.parent,
            started_at: checked.start.at,
            priority: checked.start.priority,
            given: None,
        });
        let entry = Entry {
            tenant: scope.tenant(),
            execution: checked.id,
            start: Some(Box::new(checked.start)),
            events: Vec::new(),
            snapshot: None,
            subscribe: Vec::new(),
            unsubscribe: Vec::new(),
            human_tasks: Vec::new(),
            consumed: Vec::new(),
            messages: Vec::new(),
            next: Next::Queued,
        };
        let appended = self.unfenced.append(entry).await?;
        let started = started(checked.id, appended.outcome)?;
        if started.existing {
            return Ok(started);
        }
        self.meter.started();
        self.changed(scope.tenant(), || progress.row(&Next::Queued));
        if let Some(gate) = replaced {
            self.replace_older(scope, &gate).await?;
        }
        Ok(started)
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
                let reason = Some("a newer start took its place".to_owned());
                self.command(scope, older.execution, (None, Action::Cancel), reason)
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
