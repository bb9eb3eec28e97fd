//! Finds functions that block a thread of the runtime, and names them.
//!
//! A blocked thread cannot tell of itself, and when all are blocked no routine runs, so
//! a thread of its own looks at the calls under way. It counts its own looks in place
//! of reading a clock.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

/// The time between two looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Looks that may find a call inside one and the same poll: about a second.
const LOOKS_MAX: u64 = 4;

/// Knows which calls are under way and whether one of them is being polled.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    looks: AtomicU64,
    calls: Mutex<HashMap<u64, Arc<Call>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Call {
    function: String,
    task: String,
    /// The look during which the present poll began; zero between polls.
    since: AtomicU64,
}

/// A call that is inside one poll for too long.
#[derive(Debug, PartialEq, Eq)]
struct Blocked {
    function: String,
    task: String,
}

impl Watchdog {
    /// Starts the looking thread; it ends when the watchdog is dropped.
    pub(super) fn start() -> Arc<Self> {
        let dog = Arc::new(Self::default());
        let watched = Arc::downgrade(&dog);
        let started = thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || keep_looking(&watched));
        if let Err(error) = started {
            tracing::warn!(%error, "functions that block a thread will not be named");
        }
        dog
    }

    /// Wraps a function's future so that a poll that blocks is noticed.
    pub(super) fn watch<F>(self: &Arc<Self>, function: &str, task: &str, work: F) -> Watched<F> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let call = Arc::new(Call {
            function: function.to_owned(),
            task: task.to_owned(),
            since: AtomicU64::new(0),
        });
        self.lock().insert(number, Arc::clone(&call));
        Watched {
            dog: Arc::clone(self),
            number,
            call,
            work: Box::pin(work),
        }
    }

    /// Looks once; gives the calls that have been in one poll for as long as allowed.
    fn look(&self) -> Vec<Blocked> {
        let now = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let calls = self.lock();
        let blocked = calls.values().filter(|call| {
            let since = call.since.load(Ordering::Relaxed);
            // Told once: at later looks it is longer than that.
            0 < since && now.saturating_sub(since) == LOOKS_MAX
        });
        blocked
            .map(|call| Blocked {
                function: call.function.clone(),
                task: call.task.clone(),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Call>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep_looking(dog: &Weak<Watchdog>) {
    loop {
        thread::park_timeout(PERIOD);
        let Some(dog) = dog.upgrade() else { return };
        for Blocked { function, task } in dog.look() {
            tracing::error!(
                function,
                task,
                "a function blocks a thread of the runtime and holds up other executions; \
                 move its blocking work to a thread of its own"
            );
        }
    }
}

/// A function's future under watch.
pub(super) struct Watched<F> {
    dog: Arc<Watchdog>,
    number: u64,
    call: Arc<Call>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Looks count from one, so that zero means "between polls".
        let now = self.dog.looks.load(Ordering::Relaxed) + 1;
        self.call.since.store(now, Ordering::Relaxed);
        let polled = self.work.as_mut().poll(context);
        self.call.since.store(0, Ordering::Relaxed);
        polled
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        self.dog.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poll_that_does_not_come_back_is_told_once_and_by_name() {
        let dog = Arc::new(Watchdog::default());
        let inside = Arc::clone(&dog);
        // What a blocked thread would do: nothing, while the watchdog looks.
        let blocking = std::future::poll_fn(move |_| {
            let looks: Vec<_> = (0..8).map(|_| inside.look()).collect();
            Poll::Ready(looks)
        });
        let mut watched = Box::pin(dog.watch("slow", "/do/0/a", blocking));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(looks) = watched.as_mut().poll(&mut context) else {
            panic!("it is ready at once");
        };
        let told: Vec<_> = looks.into_iter().flatten().collect();
        let expected = Blocked {
            function: "slow".to_owned(),
            task: "/do/0/a".to_owned(),
        };
        assert_eq!(told, [expected]);
        drop(watched);
        assert!(dog.lock().is_empty());
    }

    #[test]
    fn call_that_waits_is_not_told() {
        let dog = Arc::new(Watchdog::default());
        let mut watched = Box::pin(dog.watch("slow", "", std::future::pending::<()>()));
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..8 {
            assert!(watched.as_mut().poll(&mut context).is_pending());
            assert_eq!(dog.look(), []);
        }
    }
}
