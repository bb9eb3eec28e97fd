//! One try of a function: under its time limits, with its heartbeats listened to.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::perform::{Call, Doing, Performed};
use super::progress::to_json;
use crate::functions::{Beat, Callable, Function, Heart, Invocation, Registration};
use crate::interpreter::{Problem, ProblemKind};
use crate::store::ProgressRow;

/// How a try ended.
struct Tried {
    result: Result<Value, Problem>,
    /// Whether it is known what the function did.
    known: bool,
}

impl Doing {
    /// Calls a function once and decides what follows.
    pub(super) async fn call(&self, call: Call) -> Performed {
        let Some(registration) = self.core.ports.functions.find(&call.function) else {
            return self.unknown(&call.function).await;
        };
        let registration = Arc::clone(registration);
        let Callable::Plain(function) = registration.callable() else {
            let detail = "a transactional function was called without its transaction";
            return self.ended(Err(Problem::new(ProblemKind::Runtime, detail)));
        };
        let (heart, beats) = Heart::heard();
        let cancelled = CancellationToken::new();
        let _cancel_when_dropped = cancelled.clone().drop_guard();
        let task = call.task.clone();
        let resumed_from = self.resumed_from(&registration).await;
        let invocation = Invocation {
            heart,
            cancelled,
            resumed_from,
            ..self.invocation(call)
        };
        let tried = self
            .under_limits(&registration, function, invocation, (&beats, &task))
            .await;
        let performed = self.after(&registration, tried, beats.borrow().details.clone());
        if matches!(performed, Performed::Ended { .. }) && beats.borrow().details.is_some() {
            self.forget_progress().await;
        }
        performed
    }

    /// What a call of this effect gets to know, apart from what belongs to one try.
    pub(super) fn invocation(&self, call: Call) -> Invocation {
        let known = self.tried.as_ref().map_or(0, |tried| tried.known);
        let scope = self.life.scope(self.tenant);
        Invocation {
            task: call.task,
            input: call.input,
            key: format!("{}-{}-{}", self.execution, self.effect, known + 1),
            attempt: known + 1,
            at: self.core.now(),
            ..Invocation::new(scope, self.execution, call.arguments)
        }
    }

    async fn under_limits(
        &self,
        registration: &Registration,
        function: &Arc<dyn Function>,
        invocation: Invocation,
        (beats, task): (&watch::Receiver<Beat>, &str),
    ) -> Tried {
        let work = guarded(&**function, invocation);
        let work = self.core.watchdog.watch(registration.name(), task, work);
        let cut = |detail: String| Tried {
            result: Err(Problem::new(ProblemKind::Timeout, detail)),
            known: false,
        };
        tokio::select! {
            tried = work => tried,
            most = self.time_over(registration.try_timeout()) => {
                cut(format!("the function took longer than {most:#}"))
            }
            most = self.silence(beats.clone(), task, registration.silence_max()) => {
                cut(format!("the function gave no sign of life for {most:#}"))
            }
        }
    }

    /// Returns when a try has had its time.
    async fn time_over(&self, most: Option<SignedDuration>) -> SignedDuration {
        let Some(most) = most else {
            return std::future::pending().await;
        };
        let clock = &self.core.ports.clock;
        clock.sleep_until(later(clock.now(), most)).await;
        most
    }

    /// Returns when the function was silent for too long; shows its progress meanwhile.
    async fn silence(
        &self,
        mut beats: watch::Receiver<Beat>,
        task: &str,
        most: Option<SignedDuration>,
    ) -> SignedDuration {
        let clock = &self.core.ports.clock;
        let mut shown_at: Option<Timestamp> = None;
        loop {
            tokio::select! {
                most = self.time_over(most) => return most,
                // An error: the function has let its heart go and will be silent.
                Ok(()) = beats.changed() => {}
            }
            let now = clock.now();
            let poll = self.core.options.poll;
            if shown_at.is_none_or(|at| later(at, poll) <= now) {
                shown_at = Some(now);
                let details = beats.borrow_and_update().details.clone();
                if let Some(details) = details {
                    self.show(task, now, &details).await;
                }
            }
        }
    }

    /// Keeps what the function said of itself, for people and for the next try.
    async fn show(&self, task: &str, at: Timestamp, details: &Value) {
        let Ok(details) = to_json(details) else {
            return;
        };
        let row = ProgressRow {
            tenant: self.tenant,
            execution: self.execution,
            effect: self.effect,
            task: task.to_owned(),
            attempt: self.tried.as_ref().map_or(1, |tried| tried.tries + 1),
            at,
            details,
        };
        let kept = self.core.ports.store.progress_put(&self.life.fence, &row);
        if let Err(error) = kept.await {
            tracing::debug!(%error, "a function's progress was not kept");
        }
        self.core.progressed(row);
    }

    async fn forget_progress(&self) {
        let store = &self.core.ports.store;
        let forgotten = store.progress_delete(self.execution, self.effect).await;
        if let Err(error) = forgotten {
            tracing::debug!(%error, "a function's progress was not removed");
        }
    }

    /// What the last try said of itself: of a failed one as recorded, of one that a crash
    /// cut off as kept.
    async fn resumed_from(&self, registration: &Registration) -> Option<Arc<Value>> {
        let recorded = self.tried.as_ref().and_then(|tried| tried.details.clone());
        if !self.recovered || registration.silence_max().is_none() {
            return recorded;
        }
        let kept = self
            .core
            .ports
            .store
            .progress_fetch(&[self.execution])
            .await;
        let mut kept = kept.unwrap_or_default().into_iter();
        let row = kept.find(|row| row.effect == self.effect)?;
        serde_json::from_str(&row.details).ok().map(Arc::new)
    }

    fn after(
        &self,
        registration: &Registration,
        tried: Tried,
        details: Option<Arc<Value>>,
    ) -> Performed {
        let Tried { result, known } = tried;
        let tries = self.tried.as_ref().map_or(0, |tried| tried.tries) + 1;
        if let Err(problem) = &result
            && let Some(after) = registration.retries().pause(problem, tries)
        {
            return Performed::Failed {
                effect: self.effect,
                problem: problem.clone(),
                known: known && !problem.is(ProblemKind::Timeout),
                after,
                details: if known { None } else { details },
            };
        }
        self.ended(result)
    }

    /// A function that this engine does not know is left for others as long as there are
    /// others, and for a bounded time.
    async fn unknown(&self, name: &str) -> Performed {
        let wait = self.core.options.unknown_function_wait;
        let waits = self
            .began
            .is_some_and(|began| self.core.now() < later(began, wait));
        if waits && never_known(name).is_none() && self.others_live().await {
            let function = name.to_owned();
            return Performed::Elsewhere { function };
        }
        self.ended(Err(unknown_function(name)))
    }

    async fn others_live(&self) -> bool {
        match self.core.ports.store.worker_count(self.core.now()).await {
            Ok(count) => 1 < count,
            Err(error) => {
                tracing::warn!(%error, "whether there are other workers is not known");
                true
            }
        }
    }
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Calls a function so that its panic is its own problem only.
async fn guarded(function: &dyn Function, invocation: Invocation) -> Tried {
    let task = invocation.task.clone();
    let called = AssertUnwindSafe(function.call(invocation)).catch_unwind();
    match called.await {
        Ok(result) => Tried {
            result,
            known: true,
        },
        Err(_) => {
            tracing::error!(%task, "a function panicked");
            let problem = Problem::new(ProblemKind::Runtime, "the function panicked");
            Tried {
                result: Err(problem),
                known: false,
            }
        }
    }
}

/// Says why no worker knows this function, for those that are no host's.
fn never_known(name: &str) -> Option<String> {
    match name {
        "run/script" | "run/shell" | "run/container" => Some(format!(
            "tasks of kind {name} are off: the host has not enabled them"
        )),
        "grpc" | "asyncapi" | "mcp" | "a2a" => Some(format!(
            "calls of kind {name} are not available in this engine yet"
        )),
        _ => None,
    }
}

fn unknown_function(name: &str) -> Problem {
    let detail = never_known(name).unwrap_or_else(|| {
        format!("there is no function named {name} in this engine; the host registers functions")
    });
    Problem::new(ProblemKind::Configuration, detail).with_status(501)
}
