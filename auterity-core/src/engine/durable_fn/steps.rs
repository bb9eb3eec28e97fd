//! What a durable function awaits.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::driver::{Body, Shared};
use super::retry::StepRetry;
use crate::interpreter::{EffectResult, Problem, ProblemKind, Wish};

/// One step on its way: asked for when first polled, given up when dropped.
pub(super) struct Pending {
    shared: Arc<Mutex<Shared>>,
    state: State,
}

enum State {
    Unasked { wish: Box<Wish>, body: Option<Body> },
    Asked(u64),
    Failed(Problem),
    Over,
}

impl Pending {
    pub(super) fn new(shared: &Arc<Mutex<Shared>>, wish: Wish, body: Option<Body>) -> Self {
        Self {
            shared: Arc::clone(shared),
            state: State::Unasked {
                wish: Box::new(wish),
                body,
            },
        }
    }

    /// Makes a step that fails before it is asked for.
    pub(super) fn failed(shared: &Arc<Mutex<Shared>>, problem: Problem) -> Self {
        Self {
            shared: Arc::clone(shared),
            state: State::Failed(problem),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&mut self, change: impl FnOnce(&mut Wish)) {
        if let State::Unasked { wish, .. } = &mut self.state {
            change(wish);
        }
    }

    /// Asks for the step, if that has not been done.
    pub(super) fn ask(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Unasked { wish, body } => State::Asked(self.shared().ask(*wish, body)),
            other => other,
        };
    }

    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Result<Value, Problem>> {
        self.ask();
        let number = match std::mem::replace(&mut self.state, State::Over) {
            State::Asked(number) => number,
            State::Failed(problem) => return Poll::Ready(Err(problem)),
            State::Unasked { .. } | State::Over => return Poll::Pending,
        };
        let answer = self.shared().answer(number, task.waker());
        match answer {
            None => {
                self.state = State::Asked(number);
                Poll::Pending
            }
            Some(EffectResult::Value(value)) => Poll::Ready(Ok(Arc::unwrap_or_clone(value))),
            Some(EffectResult::Problem(problem)) => Poll::Ready(Err(problem)),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let State::Asked(number) = self.state {
            let body = self.shared().give_up(number);
            drop(body);
        }
    }
}

/// A step; gives what its body or the called function gave. Nothing happens before it is
/// awaited, and what is dropped under way is given up.
#[must_use = "a step is done when it is awaited"]
pub struct Step<T> {
    pub(super) pending: Pending,
    pub(super) gives: PhantomData<fn() -> T>,
    /// Whether code outside the function gives the result, in whatever form.
    pub(super) outside: bool,
}

impl<T> Step<T> {
    /// Tries again when it fails.
    pub fn with_retry(mut self, retry: StepRetry) -> Self {
        self.pending.change(|wish| wish.tries = Some(retry.tries()));
        self
    }

    /// Sets how long one try of the body may take; one that takes longer fails with a
    /// time-out error. For calls, the function's registration says it.
    pub fn with_timeout(mut self, time: SignedDuration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(0);
        self.pending.change(|wish| wish.time_ms_max = Some(millis));
        self
    }
}

impl<T: DeserializeOwned> Future for Step<T> {
    type Output = Result<T, Problem>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match self.pending.poll(task) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(problem)) => return Poll::Ready(Err(problem)),
            Poll::Ready(Ok(value)) => serde_path_to_error::deserialize(value),
        };
        match answer {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(error) if self.outside => {
                let detail = format!("the result is not what the caller wants: {error}");
                Poll::Ready(Err(Problem::new(ProblemKind::Validation, detail)))
            }
            Err(error) => {
                let what = format!("a step's recorded result is of another type: {error}");
                self.pending.shared().unfit = Some(what);
                Poll::Pending
            }
        }
    }
}

/// A sleep.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    pub(super) pending: Pending,
}

impl Future for Sleep {
    /// Fails when the execution is cancelled.
    type Output = Result<(), Problem>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.pending.poll(task).map_ok(drop)
    }
}

/// Waits for a `CloudEvent`; gives it in structured form.
#[must_use = "listening begins when it is awaited"]
pub struct WaitFor {
    pub(super) pending: Pending,
}

impl Future for WaitFor {
    /// Fails when the execution is cancelled.
    type Output = Result<Value, Problem>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.pending.poll(task)
    }
}

/// A child execution; gives its output. One that was [spawned](super::DurableContext::spawn)
/// has been asked for already, and is cancelled when this is dropped.
#[must_use = "a child that nobody waits for is cancelled: spawn it detached"]
pub struct Child {
    pub(super) pending: Pending,
}

impl Future for Child {
    type Output = Result<Value, Problem>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.pending.poll(task)
    }
}

macro_rules! named {
    ($($name:ident $(<$gives:ident>)?),+) => {$(
        impl$(<$gives>)? $name$(<$gives>)? {
            /// Sets the name that history shows.
            pub fn named(mut self, name: impl Into<String>) -> Self {
                self.pending.change(|wish| wish.name = name.into());
                self
            }
        }
    )+};
}

macro_rules! opaque {
    ($($name:ident $(<$gives:ident>)?),+) => {$(
        impl$(<$gives>)? fmt::Debug for $name$(<$gives>)? {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}

named!(Step<T>, Sleep, WaitFor);
opaque!(Step<T>, Sleep, WaitFor, Child);
