//! The journal's writer: group commit across all executions of the worker.
//!
//! Whatever arrives while a commit is under way goes into the next one. There is no
//! artificial delay: alone, an entry is committed at once; under load batches grow
//! by themselves. Nobody is answered before the commit. One writer makes the largest
//! batches; two were no faster where database and engine share their cores.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::figures::Meter;
use super::life::Adrift;
use crate::clock::Clock;
use crate::store::{Entry, Fence, Outcome, Store};
use crate::{Error, ErrorKind};

/// How long the writer waits before it tries again after the database was not
/// reachable: at first, and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Hands entries to the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    sender: mpsc::Sender<Append>,
    /// Entries that wait for their commit.
    waiting: Arc<AtomicUsize>,
}

/// Counts an entry as long as it waits, however that ends.
struct Waits(Arc<AtomicUsize>);

impl Waits {
    fn new(waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(waiting))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Append {
    entry: Entry,
    done: oneshot::Sender<Result<Appended, Error>>,
}

/// The journal's answer, with the entry that it is about.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) outcome: Outcome,
    pub(super) entry: Entry,
}

/// The writer's other end.
#[derive(Debug)]
pub(super) struct Writer {
    receiver: mpsc::Receiver<Append>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    fence: Option<Fence>,
    batch_max: usize,
    lost: CancellationToken,
    adrift: Adrift,
    meter: Arc<Meter>,
}

impl Journal {
    /// Makes a journal and its writer. The token fires when the lease is lost.
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        fence: Option<Fence>,
        batch_max: usize,
        (lost, adrift, meter): (CancellationToken, Adrift, Arc<Meter>),
    ) -> (Self, Writer) {
        // Twice a batch: one in flight, one gathering; beyond that callers wait.
        let (sender, receiver) = mpsc::channel(batch_max.saturating_mul(2));
        (
            Self {
                sender,
                waiting: Arc::default(),
            },
            Writer {
                receiver,
                store,
                clock,
                fence,
                batch_max,
                lost,
                adrift,
                meter,
            },
        )
    }

    /// Gives how many entries wait for their commit.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Appends an entry; returns after its commit.
    ///
    /// # Cancel safety
    /// A dropped future may leave the entry committed.
    pub(super) async fn append(&self, entry: Entry) -> Result<Appended, Error> {
        self.send(entry).await
    }

    /// Hands over an entry at once, if there is room, and gives the wait for its commit.
    pub(super) fn send(
        &self,
        entry: Entry,
    ) -> impl Future<Output = Result<Appended, Error>> + Send + 'static {
        let waits = Waits::new(&self.waiting);
        let gone = || Error::new(ErrorKind::Stopping, "the engine is stopping");
        let (done, answer) = oneshot::channel();
        let late = match self.sender.try_send(Append { entry, done }) {
            Ok(()) => None,
            Err(TrySendError::Full(append) | TrySendError::Closed(append)) => {
                Some((self.sender.clone(), append))
            }
        };
        async move {
            let _waits = waits;
            if let Some((sender, append)) = late {
                sender.send(append).await.map_err(|_| gone())?;
            }
            answer.await.map_err(|_| gone())?
        }
    }
}

impl Writer {
    /// Writes until every [`Journal`] is gone or the lease is lost.
    pub(super) async fn work(mut self) {
        let mut batch = Vec::with_capacity(self.batch_max);
        let mut held = Vec::new();
        loop {
            // Those who were just answered come back first, and so into this batch.
            tokio::task::yield_now().await;
            batch.append(&mut held);
            if batch.is_empty() && self.receiver.recv_many(&mut batch, self.batch_max).await == 0 {
                return;
            }
            while batch.len() < self.batch_max
                && let Ok(append) = self.receiver.try_recv()
            {
                batch.push(append);
            }
            held = hold_back(&mut batch);
            let (entries, waiting): (Vec<Entry>, Vec<_>) = batch
                .drain(..)
                .map(|append: Append| (append.entry, append.done))
                .unzip();
            let began = self.clock.now();
            match self.write(&entries).await {
                Ok(outcomes) => {
                    let took = self.clock.now().duration_since(began);
                    self.meter.batch(entries.len(), took);
                    let answers = entries.into_iter().zip(outcomes);
                    for (done, (entry, outcome)) in waiting.into_iter().zip(answers) {
                        if done.send(Ok(Appended { outcome, entry })).is_err() {
                            // A start whose caller went away has nobody to work on it.
                            self.adrift.set();
                        }
                    }
                }
                Err(error) => {
                    let kind = error.kind();
                    for done in waiting {
                        drop(done.send(Err(Error::new(kind, error.message()))));
                    }
                    if kind == ErrorKind::Fenced {
                        tracing::warn!("the worker lost its lease, its executions go to others");
                        self.lost.cancel();
                        return;
                    }
                    if self.lost.is_cancelled() {
                        return;
                    }
                    tracing::error!(error = %error, "a journal batch was refused");
                }
            }
        }
    }

    /// Writes one batch, again and again while the database cannot be reached: the
    /// appends carry their place, so a repetition is harmless.
    async fn write(&self, entries: &[Entry]) -> Result<Vec<Outcome>, Error> {
        let mut delay = RETRY_MIN;
        let mut repeated = false;
        loop {
            match self
                .store
                .journal_append(self.fence.as_ref(), entries)
                .await
            {
                Ok(mut outcomes) => {
                    if repeated {
                        settle(entries, &mut outcomes);
                    }
                    return Ok(outcomes);
                }
                Err(error) if error.is_retryable() && !self.lost.is_cancelled() => {
                    tracing::warn!(error = %error, "the journal cannot be written, trying again");
                    let until = self.clock.now() + delay;
                    tokio::select! {
                        biased;
                        () = self.lost.cancelled() => return Err(error),
                        () = self.clock.sleep_until(until) => {}
                    }
                    delay = (delay * 2).min(RETRY_MAX);
                    repeated = true;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Corrects the outcomes of a batch of which a try before may have been committed. A
/// start may as well have been there long before, and only the store knows.
fn settle(entries: &[Entry], outcomes: &mut [Outcome]) {
    for (entry, outcome) in entries.iter().zip(outcomes) {
        if entry.start.is_none() && *outcome == Outcome::AlreadyRecorded {
            *outcome = Outcome::Recorded;
        }
    }
}

/// Takes out what is for an execution that has an entry in the batch already, as when a
/// parent repeats the start of a child that is at work here: it goes into the next.
fn hold_back(batch: &mut Vec<Append>) -> Vec<Append> {
    let mut seen = HashSet::with_capacity(batch.len());
    batch
        .extract_if(.., |append| !seen.insert(append.entry.execution))
        .collect()
}
