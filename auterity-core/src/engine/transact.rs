//! Calls of transactional functions: the body, the journal entry and the commit in one
//! transaction, outside the group commit.
//!
//! The execution itself does this, one call after the other, and nothing of it is in
//! flight to the journal meanwhile: on SQLite a transaction keeps all other writers out.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::execution::{Active, After};
use super::perform::{Called, Doing};
use super::progress::{Prepared, Progress};
use crate::functions::{Callable, Invocation, Registration, Transactional};
use crate::interpreter::{EffectResult, Event, Problem, ProblemKind};
use crate::store::{Failure, Outcome, Transaction};
use crate::{Error, ErrorKind};

/// Tries of a transaction that the database takes back in favour of another one.
const CONFLICTS_MAX: u32 = 10;

/// A call of a transactional function that is to be made.
pub(super) struct Transact {
    pub(super) doing: Doing,
    pub(super) called: Called,
    pub(super) registration: Arc<Registration>,
}

/// What came of a try.
enum Body {
    /// It is to be committed with this value.
    Done(Box<Transaction>, Arc<Value>),
    /// It failed; nothing of it is left.
    Failed(Problem),
    /// The database gave way to another transaction.
    Conflict(String),
    /// The database cannot be reached.
    Unreachable(Error),
}

impl Active {
    /// Makes a transactional call, again and again until its outcome is known.
    pub(super) async fn transact(&mut self, transact: &Transact) -> Result<After, Error> {
        let effect = transact.doing.effect;
        // What ran ahead is committed first: the transaction's entry follows it.
        if matches!(self.settle(Vec::new()).await?, After::Leave) {
            return Ok(After::Leave);
        }
        let mut conflicts = 0;
        while self.wants(effect) {
            let problem = match transact.body().await {
                Body::Done(transaction, value) => {
                    match self.commit_with(*transaction, effect, value).await {
                        Ok(after) => return Ok(after),
                        Err(error) => match error.kind() {
                            ErrorKind::Conflict => Err(error.to_string()),
                            ErrorKind::Invalid => Ok(taken_back(error.message())),
                            ErrorKind::Unavailable => {
                                transact.doing.pause().await;
                                self.reload().await?;
                                continue;
                            }
                            _ => return Err(error),
                        },
                    }
                }
                Body::Failed(problem) => Ok(problem),
                Body::Conflict(message) => Err(message),
                Body::Unreachable(error) => {
                    tracing::warn!(%error, "a transaction could not be had, trying again");
                    transact.doing.pause().await;
                    continue;
                }
            };
            match problem {
                Ok(problem) => return self.failed(effect, problem).await,
                Err(message) if CONFLICTS_MAX <= conflicts => {
                    let detail = format!("other transactions were always first: {message}");
                    let problem = Problem::new(ProblemKind::Runtime, detail);
                    return self.failed(effect, problem).await;
                }
                Err(_) => conflicts += 1,
            }
        }
        Ok(self.resume())
    }

    /// Tells whether the call is to be made now. A suspended execution makes none, and
    /// asks again for all when it is resumed.
    fn wants(&self, effect: u64) -> bool {
        let state = &self.progress.state;
        state.expects(effect) && !state.is_suspended() && !self.life.is_over()
    }

    /// Records the result in the function's own transaction.
    async fn commit_with(
        &mut self,
        transaction: Transaction,
        effect: u64,
        value: Arc<Value>,
    ) -> Result<After, Error> {
        let result = EffectResult::Value(value);
        let event = Event::EffectEnded { effect, result };
        let idle = self.is_idle();
        let events = std::slice::from_ref(&event);
        let prepared = self
            .progress
            .prepare(&self.core, events, Vec::new(), idle)?;
        let Prepared { entry, effects } = prepared;
        let committed = transaction.commit_with(&self.life.fence, &entry).await;
        match committed {
            Ok(Outcome::Recorded) => {
                let after = self.recorded(&entry).await;
                if matches!(after, After::Stay) {
                    self.perform(effects);
                }
                Ok(after)
            }
            Ok(Outcome::Refused(reason)) => {
                self.reload().await?;
                let detail = format!("the result cannot be kept: {reason}");
                let problem = Problem::new(ProblemKind::Runtime, detail);
                self.failed(effect, problem).await
            }
            Ok(Outcome::AlreadyRecorded | Outcome::Exists(_)) => {
                // An earlier try whose outcome was not known was committed after all, or
                // another worker went on; what is stored says which.
                self.reload().await?;
                if self.progress.state.expects(effect) {
                    let message = "another worker went on with the execution";
                    return Err(Error::new(ErrorKind::Fenced, message));
                }
                Ok(self.resume())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Invalid) => {
                self.reload().await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn failed(&mut self, effect: u64, problem: Problem) -> Result<After, Error> {
        let result = EffectResult::Problem(problem);
        let event = Event::EffectEnded { effect, result };
        self.commit(vec![event], Vec::new()).await
    }

    /// Goes back to what is stored, however long it takes to read it.
    async fn reload(&mut self) -> Result<(), Error> {
        let ids = [self.progress.identity.execution];
        loop {
            match self.core.ports.store.execution_load(&ids).await {
                Ok(loaded) => {
                    let Some(loaded) = loaded.into_iter().next() else {
                        // It has ended: whoever ended it has told everybody.
                        let message = "the execution ended in another way";
                        return Err(Error::new(ErrorKind::Fenced, message));
                    };
                    self.progress = Progress::recover(&self.core, &loaded).await?;
                    return Ok(());
                }
                Err(error) if error.is_retryable() && !self.life.lost.is_cancelled() => {
                    let until = self.core.now() + self.core.options.poll;
                    self.core.ports.clock.sleep_until(until).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Goes on from what is stored: begins what is not under way.
    fn resume(&mut self) -> After {
        let open: Vec<u64> = self.progress.state.pending().collect();
        for effect in open {
            self.begin(effect);
        }
        After::Stay
    }
}

impl Transact {
    /// Executes the body in a transaction of its own.
    async fn body(&self) -> Body {
        let doing = &self.doing;
        let Callable::Transactional(function) = self.registration.callable() else {
            let detail = "the function is not transactional";
            return Body::Failed(Problem::new(ProblemKind::Runtime, detail));
        };
        let cancelled = CancellationToken::new();
        let _cancel_when_dropped = cancelled.clone().drop_guard();
        let invocation = doing.invocation(self.called.clone(), cancelled);
        let source = &doing.core.ports.connections;
        let transaction = match source.begin(&invocation.scope).await {
            Ok(transaction) => transaction,
            Err(error) if error.is_retryable() => return Body::Unreachable(error),
            Err(error) => return Body::Failed(Problem::failed(error)),
        };
        let result = self.under_limits(function, invocation, &transaction).await;
        match (transaction.failure(), result) {
            (Some(Failure::Conflict(message)), _) => {
                transaction.roll_back().await;
                Body::Conflict(message)
            }
            (Some(Failure::Lost(message)), _) => {
                Body::Unreachable(Error::new(ErrorKind::Unavailable, message))
            }
            (Some(Failure::Statement(message)), Ok(_)) => {
                transaction.roll_back().await;
                Body::Failed(taken_back(&message))
            }
            (_, Err(problem)) => {
                transaction.roll_back().await;
                Body::Failed(problem)
            }
            (None, Ok(value)) => match doing.bounded(value) {
                Ok(value) => Body::Done(Box::new(transaction), Arc::new(value)),
                Err(problem) => {
                    transaction.roll_back().await;
                    Body::Failed(problem)
                }
            },
        }
    }

    async fn under_limits(
        &self,
        function: &Arc<dyn Transactional>,
        invocation: Invocation,
        transaction: &Transaction,
    ) -> Result<Value, Problem> {
        let task = invocation.task.clone();
        let work = AssertUnwindSafe(function.call(invocation, transaction)).catch_unwind();
        tokio::select! {
            biased;
            () = self.doing.life.lost.cancelled() => {
                Err(Problem::new(ProblemKind::Runtime, "the worker lost its lease"))
            }
            result = work => result.unwrap_or_else(|_| {
                tracing::error!(%task, "a transactional function panicked");
                let detail = "the function panicked; what it wrote was taken back";
                Err(Problem::new(ProblemKind::Runtime, detail))
            }),
            most = self.doing.time_over(self.registration.time_max()) => {
                let detail =
                    format!("the function took longer than {most:#}; what it wrote was taken back");
                Err(Problem::new(ProblemKind::Timeout, detail))
            }
        }
    }
}

/// The problem of a function that reported success although its transaction failed.
fn taken_back(message: &str) -> Problem {
    let detail = format!(
        "the function succeeded but its transaction did not, and what it wrote was taken \
         back: {message}"
    );
    Problem::new(ProblemKind::Runtime, detail)
}
