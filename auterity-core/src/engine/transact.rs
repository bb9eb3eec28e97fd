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
use super::progress::Progress;
use crate::functions::{Callable, Invocation, Registration, Transactional};
use crate::interpreter::{EffectResult, Event, Problem, ProblemKind};
use crate::store::{Entry, EventRow, Failure, Outcome, Transaction};
use crate::{Error, ErrorKind};

/// Tries of a transaction that the database takes back in favour of another one.
const CONFLICTS_MAX: u32 = 10;

/// A call of a transactional function that is to be made.
pub(super) struct Transact {
    pub(super) doing: Doing,
    pub(super) called: Called,
    pub(super) registration: Arc<Registration>,
    /// How often the database gave way to another transaction so far.
    pub(super) conflicts: u32,
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
    /// Tries a transactional call. One whose outcome is still open is tried again after
    /// whatever else has happened to the execution.
    pub(super) async fn transact(&mut self, transact: Transact) -> Result<After, Error> {
        // What ran ahead is committed first: the transaction's entry follows it.
        if matches!(self.settle(Vec::new()).await?, After::Leave) {
            return Ok(After::Leave);
        }
        let effect = transact.doing.effect;
        let state = &self.progress.state;
        // A suspended execution asks again for everything when it is resumed.
        if !state.expects(effect) || state.is_suspended() || self.life.is_over() {
            return Ok(After::Stay);
        }
        match transact.body().await {
            Body::Done(transaction, value) => self.record_in(*transaction, transact, value).await,
            Body::Failed(problem) => self.failed(effect, problem).await,
            Body::Conflict(message) => self.give_way(transact, &message).await,
            Body::Unreachable(error) => {
                tracing::warn!(error = %error, "a transaction could not be had, trying again");
                transact.doing.pause().await;
                self.transacting.push_front(transact);
                Ok(After::Stay)
            }
        }
    }

    /// Records the result in the function's own transaction and commits both.
    async fn record_in(
        &mut self,
        transaction: Transaction,
        transact: Transact,
        value: Arc<Value>,
    ) -> Result<After, Error> {
        let effect = transact.doing.effect;
        let result = EffectResult::Value(value);
        let event = Event::EffectEnded { effect, result };
        let idle = self.is_idle();
        let events = std::slice::from_ref(&event);
        let prepared = self
            .progress
            .prepare(&self.core, events, Vec::new(), idle)
            .await?;
        let entry = &prepared.entry;
        let mut outcome = transaction.commit_with(&self.life.fence, entry).await;
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::Unavailable
        {
            tracing::warn!(error = %error, "the answer to a commit is lost");
            transact.doing.pause().await;
            if transact.is_recorded(entry).await? {
                outcome = Ok(Outcome::Recorded);
            }
        }
        match outcome {
            Ok(Outcome::Recorded) => {
                let after = self.recorded(&prepared.entry, &prepared.tally).await;
                if matches!(after, After::Stay) {
                    self.perform(prepared.effects).await;
                }
                Ok(after)
            }
            Err(error) if error.kind() == ErrorKind::Fenced => Err(error),
            other => {
                self.reload(&transact).await?;
                self.not_recorded(transact, other).await
            }
        }
    }

    /// Goes on after a commit that did not record the result, from what is stored.
    async fn not_recorded(
        &mut self,
        transact: Transact,
        outcome: Result<Outcome, Error>,
    ) -> Result<After, Error> {
        let effect = transact.doing.effect;
        match outcome {
            Ok(Outcome::Refused(reason)) => {
                let detail = format!("the result cannot be kept: {reason}");
                let problem = Problem::new(ProblemKind::Runtime, detail);
                self.failed(effect, problem).await
            }
            // An earlier try whose outcome was not known was committed after all, or
            // another worker went on; what is stored says which.
            Ok(_) if self.progress.state.expects(effect) => {
                let message = "another worker went on with the execution";
                Err(Error::new(ErrorKind::Fenced, message))
            }
            Ok(_) => Ok(self.go_on_with_stored()),
            Err(error) => match error.kind() {
                ErrorKind::Conflict => self.give_way(transact, error.message()).await,
                ErrorKind::Invalid => self.failed(effect, taken_back(error.message())).await,
                ErrorKind::Unavailable => Ok(self.go_on_with_stored()),
                _ => Err(error),
            },
        }
    }

    /// Lets another transaction be first, some times.
    async fn give_way(&mut self, mut transact: Transact, message: &str) -> Result<After, Error> {
        if transact.conflicts < CONFLICTS_MAX {
            transact.conflicts += 1;
            self.transacting.push_front(transact);
            return Ok(After::Stay);
        }
        let detail = format!("other transactions were always first: {message}");
        let problem = Problem::new(ProblemKind::Runtime, detail);
        self.failed(transact.doing.effect, problem).await
    }

    async fn failed(&mut self, effect: u64, problem: Problem) -> Result<After, Error> {
        let result = EffectResult::Problem(problem);
        let event = Event::EffectEnded { effect, result };
        self.commit(vec![event], Vec::new()).await
    }

    /// Goes back to what is stored, however long it takes to read it.
    async fn reload(&mut self, transact: &Transact) -> Result<(), Error> {
        let ids = [self.progress.identity.execution];
        loop {
            match self.core.ports.store.execution_load(&ids).await {
                Ok(loaded) => {
                    let Some(loaded) = loaded.into_iter().next() else {
                        // Whoever ended it has told everybody.
                        let message = "the execution ended in another way";
                        return Err(Error::new(ErrorKind::Fenced, message));
                    };
                    self.progress = Progress::take_up(&self.core, &loaded).await?;
                    return Ok(());
                }
                Err(error) => transact.patiently(error).await?,
            }
        }
    }

    /// Begins what the state asks for and is not under way.
    fn go_on_with_stored(&mut self) -> After {
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
        let result = doing.mask.result(result);
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
        let _running = self.doing.core.meter.calls();
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

    /// Looks whether an entry is in the journal although the answer to its commit is lost.
    async fn is_recorded(&self, entry: &Entry) -> Result<bool, Error> {
        let Some(last) = entry.events.last() else {
            return Ok(false);
        };
        let doing = &self.doing;
        let scope = doing.life.scope(entry.tenant);
        let before = last.sequence.saturating_sub(1);
        loop {
            let store = &doing.core.ports.store;
            let found = store.journal_list(&scope, entry.execution, before, 1).await;
            match found {
                Ok(rows) => {
                    let ours = |row: &EventRow| {
                        (row.sequence, row.at, &row.payload)
                            == (last.sequence, last.at, &last.payload)
                    };
                    return Ok(rows.first().is_some_and(ours));
                }
                Err(error) => self.patiently(error).await?,
            }
        }
    }

    /// Waits a little if the same call may succeed later, and gives the error if not.
    async fn patiently(&self, error: Error) -> Result<(), Error> {
        if !error.is_retryable() || self.doing.life.lost.is_cancelled() {
            return Err(error);
        }
        self.doing.pause().await;
        Ok(())
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
