//! Where tests of the engine take place: one thread, one store in memory, and a clock
//! that moves only when nothing else can.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::clock::ManualClock;
use crate::store::MemoryStore;

/// The store, the clock, and what stands in the clock's way.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) store: Arc<MemoryStore>,
    pub(super) clock: Arc<ManualClock>,
    /// Calls of functions that may wait for something outside: meanwhile time stands.
    pub(super) under_way: Arc<AtomicUsize>,
    /// Who wants to know that nothing can go on without time.
    settling: Mutex<Vec<oneshot::Sender<()>>>,
    /// Whether due times in the store move the clock too.
    rings: bool,
}

/// How time moves on a [`Stage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time {
    /// To the next time that somebody waits for, parked executions included.
    SkipsToWork,
    /// To the next time that somebody in memory waits for: workers find parked
    /// executions by polling.
    SkipsToWaiters,
}

impl Stage {
    /// Does the work on a new stage and a runtime of its own.
    pub(super) fn play<R>(
        start: Timestamp,
        time: Time,
        work: impl AsyncFnOnce(Arc<Self>) -> R,
    ) -> R {
        let stage = Arc::new(Self {
            store: Arc::new(MemoryStore::new()),
            clock: Arc::new(ManualClock::new(start)),
            under_way: Arc::default(),
            settling: Mutex::default(),
            rings: time == Time::SkipsToWork,
        });
        let idle = Arc::clone(&stage);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_park(move || idle.nothing_can_go_on())
            .build()
            .expect("a runtime of one thread needs nothing that could be missing");
        runtime.block_on(work(stage))
    }

    /// Returns once nothing can go on unless time does.
    pub(super) async fn settle(&self) {
        let (sender, settled) = oneshot::channel();
        self.settling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        // The stage outlives this call, so the word comes.
        drop(settled.await);
    }

    /// Called when the runtime's thread is about to sleep.
    fn nothing_can_go_on(&self) {
        let mut settling = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        if !settling.is_empty() {
            for settled in settling.drain(..) {
                // Whoever stopped waiting needs no word.
                let _gone = settled.send(()).is_err();
            }
            return;
        }
        drop(settling);
        if self.under_way.load(Ordering::Relaxed) != 0 {
            return;
        }
        // On to where somebody wakes: an engine may not be listening just when something
        // parked becomes due, and nobody asks again while the thread sleeps.
        loop {
            let waiter = self.clock.next_due();
            let now = crate::clock::Clock::now(&*self.clock);
            let parked = self.store.next_due();
            let parked = parked.filter(|due| self.rings && now < *due);
            let Some(due) = waiter.into_iter().chain(parked).min() else {
                return;
            };
            self.clock.advance_to(due);
            let rang = parked.is_some_and(|parked| parked <= due) && self.store.ring();
            if rang || waiter == Some(due) {
                return;
            }
        }
    }
}
