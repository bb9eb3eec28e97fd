//! Long work on a thread that others want too.

use crate::expression::operations_done;

/// Operations after which others have their turn: some hundred microseconds to a few
/// milliseconds of work.
const OPERATIONS_MAX: u64 = 100_000;

/// A stretch of evaluations without a wait in between. Each transition and each
/// evaluation has an end of its own; many in a row would still keep heartbeats, timers
/// and the requests of others from their turn.
#[derive(Debug)]
pub(super) struct Stretch {
    before: u64,
}

impl Stretch {
    pub(super) fn begin() -> Self {
        Self {
            before: operations_done(),
        }
    }

    /// Lets others have their turn, if the stretch has become long.
    pub(super) async fn rest(&mut self) {
        // Another thread may have counted since, and differently: then too it is time.
        if OPERATIONS_MAX < operations_done().abs_diff(self.before) {
            tokio::task::yield_now().await;
            *self = Self::begin();
        }
    }
}
