//! Calls a durable function and lets it hear of events, first those of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use jiff::Timestamp;
use serde_json::Value;

use super::context::{DurableContext, StepCall};
use super::{Called, DurableFunction};
use crate::interpreter::{
    Advance, EffectResult, FunctionEnd, News, Problem, ProblemKind, What, Wish,
};
use crate::{Error, ErrorKind, ExecutionId};

/// Polls after one event: a function whose parts wake each other goes on in the next.
const POLLS_MAX: u32 = 1_000;

/// A step's work under way.
pub(in crate::engine) type Work = Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;

/// Makes a step's work.
pub(super) type Body = Arc<dyn Fn(StepCall) -> Work + Send + Sync>;

/// What a function and its driver share.
pub(super) struct Shared {
    pub(super) execution: ExecutionId,
    pub(super) now: Timestamp,
    /// How often the function has continued as new.
    pub(super) generation: u64,
    /// Random bits and ids given so far.
    pub(super) drawn: u64,
    pub(super) again: Option<Value>,
    next: u64,
    asked: Vec<Wish>,
    dropped: Vec<u64>,
    /// Steps without an answer.
    open: BTreeSet<u64>,
    bodies: BTreeMap<u64, Body>,
    answers: BTreeMap<u64, EffectResult>,
    wakers: BTreeMap<u64, Waker>,
}

impl Shared {
    fn new(execution: ExecutionId) -> Self {
        Self {
            execution,
            now: Timestamp::UNIX_EPOCH,
            generation: 0,
            drawn: 0,
            again: None,
            next: 1,
            asked: Vec::new(),
            dropped: Vec::new(),
            open: BTreeSet::new(),
            bodies: BTreeMap::new(),
            answers: BTreeMap::new(),
            wakers: BTreeMap::new(),
        }
    }

    pub(super) fn ask(&mut self, wish: Wish, body: Option<Body>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open.insert(number);
        if let Some(body) = body {
            self.bodies.insert(number, body);
        }
        self.asked.push(wish);
        number
    }

    pub(super) fn answer(&mut self, number: u64, waker: &Waker) -> Option<EffectResult> {
        let answer = self.answers.remove(&number);
        if answer.is_none() {
            self.wakers.insert(number, waker.clone());
        }
        answer
    }

    pub(super) fn give_up(&mut self, number: u64) {
        self.wakers.remove(&number);
        self.bodies.remove(&number);
        // An answer that nobody took is no step that is open.
        if self.answers.remove(&number).is_none() && self.open.remove(&number) {
            self.dropped.push(number);
        }
    }
}

/// One durable function in memory.
pub(in crate::engine) struct Driver {
    function: DurableFunction,
    shared: Arc<Mutex<Shared>>,
    future: Option<Called>,
}

impl Driver {
    pub(in crate::engine) fn new(function: DurableFunction, execution: ExecutionId) -> Self {
        Self {
            function,
            shared: Arc::new(Mutex::new(Shared::new(execution))),
            future: None,
        }
    }

    /// Lets the function hear the news; gives what it did then.
    pub(in crate::engine) fn advance(
        &mut self,
        news: News,
        now: Timestamp,
    ) -> Result<Advance, Error> {
        if let Some((generation, input)) = news.call {
            self.future = None;
            let execution = self.shared().execution;
            *self.shared() = Shared {
                generation,
                ..Shared::new(execution)
            };
            let context = DurableContext::new(Arc::clone(&self.shared));
            self.future = Some((self.function.call)(context, Value::clone(&input)));
        }
        let wakers: Vec<Waker> = {
            let mut shared = self.shared();
            shared.now = now;
            let ended = news.ended.into_iter();
            let wakers = ended.filter_map(|(number, result)| {
                shared.open.remove(&number);
                shared.bodies.remove(&number);
                shared.answers.insert(number, result);
                shared.wakers.remove(&number)
            });
            wakers.collect()
        };
        for waker in wakers {
            waker.wake();
        }
        let mut end = self.poll();
        if let Some(input) = self.shared().again.take() {
            end = Some(FunctionEnd::Again(Arc::new(input)));
        }
        if end.is_some() {
            // What it leaves open is given up, and that is part of what it did.
            self.future = None;
        }
        let mut shared = self.shared();
        if end.is_none() && shared.open.is_empty() {
            let message = "the durable function awaits something that is not of its context; \
                           put it into a step";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Advance {
            asked: std::mem::take(&mut shared.asked),
            dropped: std::mem::take(&mut shared.dropped),
            end,
        })
    }

    /// Lets the function hear what it heard before; it must do the same again.
    pub(in crate::engine) fn repeat(
        &mut self,
        news: News,
        now: Timestamp,
        recorded: &Advance,
    ) -> Result<(), Error> {
        let before = if news.call.is_some() {
            1
        } else {
            self.shared().next
        };
        let done = self.advance(news, now)?;
        match difference(recorded, &done, before) {
            None => Ok(()),
            Some(difference) => {
                let workflow = &self.function.workflow;
                let message = format!(
                    "the durable function {} {} does not do what its journal says: {difference}; \
                     register the function that the execution was started with",
                    workflow.name, workflow.version
                );
                Err(Error::new(ErrorKind::Conflict, message))
            }
        }
    }

    /// Makes the work of a step.
    pub(in crate::engine) fn body(&self, step: u64, call: StepCall) -> Option<Work> {
        let body = self.shared().bodies.get(&step).map(Arc::clone);
        // A panic of the closure belongs to the step too.
        body.map(|body| Box::pin(async move { body(call).await }) as Work)
    }

    fn poll(&mut self) -> Option<FunctionEnd> {
        let future = self.future.as_mut()?;
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut task = Context::from_waker(&waker);
        for _ in 0..POLLS_MAX {
            woken.0.store(false, Ordering::Relaxed);
            let polled =
                std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut task)));
            match polled {
                Ok(Poll::Ready(Ok(output))) => {
                    return Some(FunctionEnd::Returned(Arc::new(output)));
                }
                Ok(Poll::Ready(Err(problem))) => return Some(FunctionEnd::Failed(problem)),
                Ok(Poll::Pending) if woken.0.load(Ordering::Relaxed) => {}
                Ok(Poll::Pending) => return None,
                Err(_) => {
                    let detail = "the durable function panicked";
                    return Some(FunctionEnd::Failed(Problem::new(
                        ProblemKind::Runtime,
                        detail,
                    )));
                }
            }
        }
        None
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Driver")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

/// Remembers that something woke the function.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Says where what was done differs from what is recorded. Whatever only tunes a step
/// may change: the journal's word counts.
fn difference(recorded: &Advance, done: &Advance, first: u64) -> Option<String> {
    let longest = recorded.asked.len().max(done.asked.len());
    for place in 0..longest {
        let (was, is) = (recorded.asked.get(place), done.asked.get(place));
        let same = |was: &Wish, is: &Wish| was.name == is.name && same_kind(&was.what, &is.what);
        if !was.zip(is).is_some_and(|(was, is)| same(was, is)) {
            let number = first + place as u64;
            return Some(format!(
                "step {number} was {}, now it is {}",
                said(was),
                said(is)
            ));
        }
    }
    if recorded.dropped != done.dropped {
        return Some("it gives up other steps".to_owned());
    }
    let word = |end: &Option<FunctionEnd>| match end {
        None => "goes on",
        Some(FunctionEnd::Again(_)) => "continues as new",
        Some(FunctionEnd::Returned(_) | FunctionEnd::Failed(_)) => "ends",
    };
    let (was, is) = (word(&recorded.end), word(&done.end));
    (was != is).then(|| format!("where it {is}, its journal {was}"))
}

fn same_kind(was: &What, is: &What) -> bool {
    match (was, is) {
        (What::Child(was), What::Child(is)) => {
            (&was.namespace, &was.name, was.awaited) == (&is.namespace, &is.name, is.awaited)
        }
        (What::Body(_), What::Body(_))
        | (What::Sleep(_), What::Sleep(_))
        | (What::Event(_), What::Event(_)) => true,
        _ => false,
    }
}

fn said(wish: Option<&Wish>) -> String {
    wish.map_or_else(
        || "none".to_owned(),
        |wish| format!("`{}` ({})", wish.name, wish.what.word()),
    )
}
