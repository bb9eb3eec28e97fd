//! Named background work: nothing runs that nobody can name, stop and await.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// A set of routines that are stopped and awaited together.
#[derive(Debug, Clone, Default)]
pub struct Routines {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Routines {
    /// Makes an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a routine. It should end soon after [`stopping`](Self::stopping) fires.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that spawns"
    )]
    pub fn spawn<F>(&self, name: &'static str, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let span = tracing::debug_span!("routine", name);
        tokio::spawn(self.tracker.track_future(work.instrument(span)))
    }

    /// Gives the token that tells routines to stop.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells all routines to stop and waits for them, at most for the given time.
    /// Tells whether all have ended.
    ///
    /// # Cancel safety
    /// The word to stop has been given once the future was polled; waiting may be
    /// repeated.
    pub async fn stop(&self, within: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(within, self.tracker.wait())
            .await
            .is_ok()
    }
}
