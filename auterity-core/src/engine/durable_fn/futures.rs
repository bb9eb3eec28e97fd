//! What a durable function awaits.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::driver::{Body, Shared};
use super::retry::StepRetry;
use crate::interpreter::{EffectResult, Problem, ProblemKind, What, Wish};

/// One step on its way: asked for when first polled, given up when dropped.
pub(super) struct Pending {
    shared: Arc<Mutex<Shared>>,
    state: State,
}

enum State {
    Unasked { wish: Wish, body: Option<Body> },
    Asked(u64),
    Over,
}

impl Pending {
    pub(super) fn new(shared: &Arc<Mutex<Shared>>, wish: Wish, body: Option<Body>) -> Self {
        Self {
            shared: Arc::clone(shared),
            state: State::Unasked { wish, body },
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the step, if that has not been done; tells its number.
    pub(super) fn ask(&mut self) -> Option<u64> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Unasked { wish, body } => {
                let number = self.shared().ask(wish, body);
                self.state = State::Asked(number);
            }
            other => self.state = other,
        }
        match self.state {
            State::Asked(number) => Some(number),
            State::Unasked { .. } | State::Over => None,
        }
    }

    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Result<Value, Problem>> {
        let Some(number) = self.ask() else {
            return Poll::Pending;
        };
        let answer = self.shared().answer(number, task.waker());
        let Some(answer) = answer else {
            return Poll::Pending;
        };
        self.state = State::Over;
        Poll::Ready(match answer {
            EffectResult::Value(value) => Ok(Arc::unwrap_or_clone(value)),
            EffectResult::Problem(problem) => Err(problem),
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let State::Asked(number) = self.state {
            self.shared().give_up(number);
        }
    }
}

/// A step under way; gives what its body gave. Nothing happens before it is awaited.
#[must_use = "a step is done when it is awaited"]
pub struct Step<T> {
    pub(super) pending: Pending,
    pub(super) gives: PhantomData<fn() -> T>,
}

impl<T> Step<T> {
    /// Tries the body again when it fails.
    pub fn with_retry(mut self, retry: StepRetry) -> Self {
        if let State::Unasked { wish, .. } = &mut self.pending.state
            && let What::Body(tries) = &mut wish.what
        {
            *tries = retry.tries();
        }
        self
    }
}

impl<T: DeserializeOwned> Future for Step<T> {
    type Output = Result<T, Problem>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.pending.poll(task).map(|answer| {
            serde_json::from_value(answer?).map_err(|error| {
                let detail = format!("the recorded result of a step is of another type: {error}");
                Problem::new(ProblemKind::Runtime, detail)
            })
        })
    }
}

/// A sleep under way.
#[must_use = "time begins to count when the sleep is awaited"]
pub struct Sleep {
    pub(super) pending: Pending,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        self.pending.poll(task).map(drop)
    }
}

/// Waits for a `CloudEvent`; gives it in structured form.
#[must_use = "listening begins when it is awaited"]
pub struct WaitFor {
    pub(super) pending: Pending,
}

impl Future for WaitFor {
    type Output = Value;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Value> {
        self.pending.poll(task).map(Result::unwrap_or_default)
    }
}

/// A child execution; gives its output. It has been asked for already, and is
/// cancelled when this is dropped.
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

macro_rules! opaque {
    ($($name:ident $(<$gives:ident>)?),+) => {$(
        impl$(<$gives>)? fmt::Debug for $name$(<$gives>)? {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}

opaque!(Step<T>, Sleep, WaitFor, Child);
