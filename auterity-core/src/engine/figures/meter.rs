//! Where an engine's parts count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::histogram::Buckets;
use super::{Figures, TaskFigures};
use crate::engine::life::Core;
use crate::interpreter::{TaskRecord, TaskState};
use crate::store::{Next, Status, Survey};
use crate::{Error, ErrorKind};

/// Types of errors that are counted by themselves: definitions make up their own.
const ERRORS_MAX: usize = 64;

/// Bytes of a type of error.
const ERROR_BYTES_MAX: usize = 128;

/// What the types beyond count as.
const OTHER: &str = "other";

const ENTRIES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How often the queue is counted at most.
const SURVEY_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// Lanes that one survey looks at, and executions that it counts in each.
const LANES_MAX: u32 = 200;
const LENGTH_MAX: u32 = 10_000;

/// Counts.
#[derive(Debug)]
pub(in crate::engine) struct Meter {
    started: AtomicU64,
    throttled: AtomicU64,
    overloaded: AtomicU64,
    completed: AtomicU64,
    faulted: AtomicU64,
    cancelled: AtomicU64,
    claims: AtomicU64,
    functions: AtomicI64,
    batch_entries: Buckets,
    commit_seconds: Buckets,
    timer_lag_seconds: Buckets,
    tasks: Mutex<Tally>,
    queue: Mutex<Option<(Timestamp, Survey)>>,
    asked: Notify,
}

/// What became of tasks in events that are not committed yet, or ever.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct Tally {
    tasks: TaskFigures,
    errors: BTreeMap<String, u64>,
}

/// A call of a function; it is under way until this is dropped.
#[derive(Debug)]
pub(in crate::engine) struct Running<'a>(&'a AtomicI64);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tally {
    pub(in crate::engine) fn add_records(&mut self, records: &[TaskRecord]) {
        for record in records {
            let count = match record.state {
                TaskState::Started => continue,
                TaskState::Completed => &mut self.tasks.completed,
                TaskState::Faulted => &mut self.tasks.faulted,
                TaskState::Cancelled => &mut self.tasks.cancelled,
                TaskState::Skipped => &mut self.tasks.skipped,
                TaskState::Retrying => &mut self.tasks.retrying,
            };
            *count += 1;
            if let Some(problem) = &record.error {
                self.add_error(&problem.kind, 1);
            }
        }
    }

    fn add_error(&mut self, kind: &str, times: u64) {
        if let Some(count) = self.errors.get_mut(kind) {
            *count += times;
            return;
        }
        let counts = self.errors.len() < ERRORS_MAX && kind.len() <= ERROR_BYTES_MAX;
        let kind = if counts { kind } else { OTHER };
        *self.errors.entry(kind.to_owned()).or_default() += times;
    }

    pub(in crate::engine) fn add(&mut self, other: &Self) {
        let (all, more) = (&mut self.tasks, other.tasks);
        all.completed += more.completed;
        all.faulted += more.faulted;
        all.cancelled += more.cancelled;
        all.skipped += more.skipped;
        all.retrying += more.retrying;
        for (kind, times) in &other.errors {
            self.add_error(kind, *times);
        }
    }
}

impl Meter {
    pub(in crate::engine) fn new() -> Self {
        Self {
            started: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            overloaded: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            faulted: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            claims: AtomicU64::new(0),
            functions: AtomicI64::new(0),
            batch_entries: Buckets::new(ENTRIES),
            commit_seconds: Buckets::new(SECONDS),
            timer_lag_seconds: Buckets::new(SECONDS),
            tasks: Mutex::default(),
            queue: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// Counts a start that was committed.
    pub(in crate::engine) fn started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a start that failed, if it was refused for now.
    pub(in crate::engine) fn refused(&self, error: &Error) {
        let count = match error.kind() {
            ErrorKind::Throttled => &self.throttled,
            ErrorKind::Overloaded => &self.overloaded,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what was committed of an execution.
    pub(in crate::engine) fn committed(&self, tally: &Tally, next: &Next) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(tally);
        let Next::Ended(ended) = next else { return };
        let count = match ended.status {
            Status::Completed => &self.completed,
            Status::Faulted => &self.faulted,
            _ => &self.cancelled,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::engine) fn claimed(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.claims.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a call of a function until what this gives is dropped.
    pub(in crate::engine) fn calls(&self) -> Running<'_> {
        self.functions.fetch_add(1, Ordering::Relaxed);
        Running(&self.functions)
    }

    /// Counts a batch of the journal.
    pub(in crate::engine) fn batch(&self, entries: usize, took: SignedDuration) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.batch_entries.count(entries.saturating_mul(1_000_000));
        self.commit_seconds.count(micros(took));
    }

    /// Counts a time that took effect.
    pub(in crate::engine) fn timer(&self, lag: SignedDuration) {
        self.timer_lag_seconds.count(micros(lag));
    }

    /// Gives everything; has the queue counted soon.
    pub(super) fn read(&self, in_flight: (u64, u64), journal_waiting: u64) -> Figures {
        self.asked.notify_one();
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let lock = self.tasks.lock();
        let Tally { tasks, errors } = lock.unwrap_or_else(PoisonError::into_inner).clone();
        let running = self.functions.load(Ordering::Relaxed);
        Figures {
            started: of(&self.started),
            throttled: of(&self.throttled),
            overloaded: of(&self.overloaded),
            completed: of(&self.completed),
            faulted: of(&self.faulted),
            cancelled: of(&self.cancelled),
            tasks,
            errors,
            claims: of(&self.claims),
            in_flight,
            functions_running: u64::try_from(running).unwrap_or(0),
            journal_waiting,
            batch_entries: self.batch_entries.read(),
            commit_seconds: self.commit_seconds.read(),
            timer_lag_seconds: self.timer_lag_seconds.read(),
            queue: self
                .queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

/// Counts the queue now and then, as long as somebody asks for figures.
pub(in crate::engine) async fn survey(core: Arc<Core>) {
    let stopping = core.routines.stopping().clone();
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = core.meter.asked.notified() => {}
        }
        let store = &core.ports.store;
        match store.queue_survey(LANES_MAX, LENGTH_MAX).await {
            Ok(survey) => {
                let queue = &core.meter.queue;
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                *queue = Some((core.now(), survey));
            }
            Err(error) => tracing::debug!(error = %error, "the queue was not counted"),
        }
        let next = core.now() + SURVEY_EVERY;
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = core.ports.clock.sleep_until(next) => {}
        }
    }
}

fn micros(time: SignedDuration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_types_are_bounded() {
        let mut tally = Tally::default();
        for number in 0..1_000 {
            tally.add_error(&format!("https://e.example/{number}"), 1);
        }
        tally.add_error(&"x".repeat(ERROR_BYTES_MAX + 1), 1);
        assert_eq!(ERRORS_MAX + 1, tally.errors.len());
        assert_eq!(1_001, tally.errors.values().sum::<u64>());
    }
}
