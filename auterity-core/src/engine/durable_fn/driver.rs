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
use tokio::task::unconstrained;

use super::context::{DurableContext, StepCall};
use super::function::{Called, DurableFunction};
use crate::ExecutionId;
use crate::interpreter::{
    Advance, EffectResult, FunctionEnd, News, Problem, ProblemKind, What, Wish,
};

/// Polls after one event; a function that still wants more never comes to rest.
const POLLS_MAX: u32 = 1_000;

/// Steps asked for after one event. More than any limit allows, so that whoever asks
/// without end meets that limit and not the end of memory.
const ASKED_MAX: usize = 100_000;

/// A step's work under way.
pub(in crate::engine) type Work = Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;

/// Makes a step's work.
pub(super) type Body = Arc<dyn Fn(StepCall) -> Work + Send + Sync>;

/// What a function and its driver share.
pub(super) struct Shared {
    pub(super) execution: ExecutionId,
    pub(super) now: Timestamp,
    /// Tells this call of the function from others in the execution.
    pub(super) call: u64,
    /// Random numbers and ids given so far.
    pub(super) drawn: u64,
    /// What the function is to be called anew with.
    pub(super) again: Option<Value>,
    /// Why the function does not fit its journal.
    pub(super) unfit: Option<String>,
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
    fn new(execution: ExecutionId, call: u64) -> Self {
        Self {
            execution,
            now: Timestamp::UNIX_EPOCH,
            call,
            drawn: 0,
            again: None,
            unfit: None,
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
        if self.asked.len() < ASKED_MAX {
            self.next += 1;
            self.open.insert(number);
            self.asked.push(wish);
            if let Some(body) = body {
                self.bodies.insert(number, body);
            }
        }
        number
    }

    pub(super) fn answer(&mut self, number: u64, waker: &Waker) -> Option<EffectResult> {
        let answer = self.answers.remove(&number);
        if answer.is_none() {
            self.wakers.insert(number, waker.clone());
        }
        answer
    }

    /// Gives a step up. Gives its body, which is not to be dropped while this is locked:
    /// it may hold another step.
    pub(super) fn give_up(&mut self, number: u64) -> Option<Body> {
        self.wakers.remove(&number);
        // One whose answer nobody took has ended.
        if self.answers.remove(&number).is_none() && self.open.remove(&number) {
            self.dropped.push(number);
        }
        self.bodies.remove(&number)
    }

    /// Takes the answers in; gives who waits for them, and the bodies that are done with.
    fn hear(&mut self, ended: Vec<(u64, EffectResult)>) -> (Vec<Waker>, Vec<Body>) {
        let (mut woken, mut bodies) = (Vec::new(), Vec::new());
        for (number, result) in ended {
            bodies.extend(self.bodies.remove(&number));
            // Nobody waits for what was given up.
            if self.open.remove(&number) {
                self.answers.insert(number, result);
                woken.extend(self.wakers.remove(&number));
            }
        }
        (woken, bodies)
    }
}

/// One durable function in memory.
pub(in crate::engine) struct Driver {
    function: DurableFunction,
    shared: Arc<Mutex<Shared>>,
    /// The call under way. Never locked: only whoever owns the driver polls it.
    called: Mutex<Option<Called>>,
}

impl Driver {
    pub(in crate::engine) fn new(function: DurableFunction, execution: ExecutionId) -> Self {
        Self {
            function,
            shared: Arc::new(Mutex::new(Shared::new(execution, 0))),
            called: Mutex::new(None),
        }
    }

    /// Lets the function hear the news; gives what it did then, or why it does not fit
    /// its journal.
    pub(in crate::engine) fn advance(
        &mut self,
        news: News,
        now: Timestamp,
    ) -> Result<Advance, String> {
        if let Some((call, input)) = news.call {
            self.forget(call);
            self.shared().now = now;
            let context = DurableContext::new(Arc::clone(&self.shared));
            let function = AssertUnwindSafe(|| self.function.call(context, Value::clone(&input)));
            match std::panic::catch_unwind(function) {
                Ok(called) => self.set_called(Some(called)),
                Err(panic) => return Ok(ended_by(panicked(&*panic))),
            }
        }
        let (woken, bodies) = {
            let mut shared = self.shared();
            shared.now = now;
            shared.hear(news.ended)
        };
        drop(bodies);
        for waker in woken {
            waker.wake();
        }
        let mut end = self.poll();
        if let Some(unfit) = self.shared().unfit.take() {
            return Err(self.unfit(&unfit));
        }
        if let Some(input) = self.shared().again.take() {
            end = Some(FunctionEnd::Again(Arc::new(input)));
        }
        if end.is_none() && self.shared().open.is_empty() {
            let detail = "the durable function awaits something that its context did not give; \
                          put that into a step";
            end = Some(FunctionEnd::Failed(Problem::new(
                ProblemKind::Runtime,
                detail,
            )));
        }
        if end.is_some() {
            self.set_called(None);
        }
        let mut shared = self.shared();
        let mut dropped = std::mem::take(&mut shared.dropped);
        // In an order of their own; and the end gives up all that is open.
        dropped.sort_unstable();
        dropped.retain(|_| end.is_none());
        Ok(Advance {
            asked: std::mem::take(&mut shared.asked),
            dropped,
            end,
        })
    }

    /// Lets the function hear what it heard before; it must do the same again.
    pub(in crate::engine) fn repeat(
        &mut self,
        news: News,
        now: Timestamp,
        recorded: &Advance,
    ) -> Result<(), String> {
        let first = match news.call {
            Some(_) => 1,
            None => self.shared().next,
        };
        let done = self.advance(news, now)?;
        match difference(recorded, &done, first) {
            None => Ok(()),
            Some(difference) => Err(self.unfit(&difference)),
        }
    }

    /// Makes the work of a step.
    pub(in crate::engine) fn body(&self, step: u64, call: StepCall) -> Option<Work> {
        let body = self.shared().bodies.get(&step).map(Arc::clone);
        // A panic of the closure itself belongs to the step too.
        body.map(|body| Box::pin(async move { body(call).await }) as Work)
    }

    fn poll(&mut self) -> Option<FunctionEnd> {
        let called = self.called.get_mut();
        let called = called.unwrap_or_else(PoisonError::into_inner).as_mut()?;
        // Nothing here waits for anything of the runtime, so it takes no share of it.
        let mut called = unconstrained(called.as_mut());
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut task = Context::from_waker(&waker);
        for _ in 0..POLLS_MAX {
            woken.0.store(false, Ordering::Relaxed);
            let polled = AssertUnwindSafe(|| Pin::new(&mut called).poll(&mut task));
            match std::panic::catch_unwind(polled) {
                Ok(Poll::Ready(Ok(output))) => {
                    return Some(FunctionEnd::Returned(Arc::new(output)));
                }
                Ok(Poll::Ready(Err(problem))) => return Some(FunctionEnd::Failed(problem)),
                Ok(Poll::Pending) if woken.0.load(Ordering::Relaxed) => {}
                Ok(Poll::Pending) => return None,
                Err(panic) => return Some(FunctionEnd::Failed(panicked(&*panic))),
            }
        }
        let detail = format!(
            "the durable function did not come to rest in {POLLS_MAX} polls after one event; \
             await a step of its context"
        );
        Some(FunctionEnd::Failed(Problem::new(
            ProblemKind::Runtime,
            detail,
        )))
    }

    /// Dropping a call gives up its steps, which takes the lock of what is shared.
    fn set_called(&mut self, called: Option<Called>) {
        let place = self.called.get_mut();
        *place.unwrap_or_else(PoisonError::into_inner) = called;
    }

    /// Forgets everything, for another call.
    fn forget(&mut self, call: u64) {
        self.set_called(None);
        let execution = self.shared().execution;
        let past = std::mem::replace(&mut *self.shared(), Shared::new(execution, call));
        // Dropped while nothing is locked: bodies may hold steps.
        drop(past);
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unfit(&self, difference: &str) -> String {
        let workflow = self.function.workflow();
        format!(
            "the durable function {}/{} {} does not do what its journal says: {difference}; \
             register the code that the execution began with, then resume it",
            workflow.namespace, workflow.name, workflow.version
        )
    }
}

/// Bodies may hold the context, which holds them.
impl Drop for Driver {
    fn drop(&mut self) {
        self.forget(0);
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

fn ended_by(problem: Problem) -> Advance {
    Advance {
        end: Some(FunctionEnd::Failed(problem)),
        ..Advance::default()
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Problem {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
    let detail = match said {
        Some(said) => format!("the durable function panicked: {said}"),
        None => "the durable function panicked".to_owned(),
    };
    Problem::new(ProblemKind::Runtime, detail)
}

/// Says where what was done differs from what is recorded. What only tunes a step may
/// change: the journal's word counts.
fn difference(recorded: &Advance, done: &Advance, first: u64) -> Option<String> {
    let longest = recorded.asked.len().max(done.asked.len());
    for place in 0..longest {
        let (was, is) = (recorded.asked.get(place), done.asked.get(place));
        let same = |was: &Wish, is: &Wish| was.name == is.name && same_kind(&was.what, &is.what);
        if !was.zip(is).is_some_and(|(was, is)| same(was, is)) {
            let number = first + place as u64;
            return Some(format!(
                "step {number} was recorded as {}, and the code asks for {}",
                said(was),
                said(is)
            ));
        }
    }
    if recorded.dropped != done.dropped {
        return Some("it gives up other steps than were given up".to_owned());
    }
    let word = |end: &Option<FunctionEnd>| match end {
        None => "goes on",
        Some(FunctionEnd::Again(_)) => "continues as new",
        Some(FunctionEnd::Returned(_) | FunctionEnd::Failed(_)) => "ends",
    };
    let (was, is) = (word(&recorded.end), word(&done.end));
    let step = first + longest as u64;
    (was != is).then(|| format!("before step {step} it is recorded that it {was}, and it {is}"))
}

fn same_kind(was: &What, is: &What) -> bool {
    match (was, is) {
        (What::Child(was), What::Child(is)) => {
            (&was.namespace, &was.name, was.awaited) == (&is.namespace, &is.name, is.awaited)
        }
        (What::Call { function: was, .. }, What::Call { function: is, .. }) => was == is,
        (What::Body, What::Body)
        | (What::Sleep(_), What::Sleep(_))
        | (What::Event(_), What::Event(_)) => true,
        _ => false,
    }
}

fn said(wish: Option<&Wish>) -> String {
    wish.map_or_else(
        || "nothing".to_owned(),
        |wish| format!("`{}` ({})", wish.name, wish.what.word()),
    )
}
