//! A value that can be waited for, with an order of waking that a seed repeats.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A value whose changes wake those who wait in the order in which they came; the
/// library's watch channel wakes them in an order by chance.
#[derive(Debug)]
pub(crate) struct Signal<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Signal<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Notify::new(),
        }
    }

    pub(crate) fn get(&self) -> T {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = value;
        self.changed.notify_waiters();
    }

    /// Gives the value and the wait for its next change, which misses none that comes
    /// after this call.
    pub(crate) fn watch(&self) -> (T, impl Future<Output = ()>) {
        let changed = self.changed.notified();
        (self.get(), changed)
    }

    /// Returns once the value is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(T) -> bool) {
        loop {
            let (value, changed) = self.watch();
            if wanted(value) {
                return;
            }
            changed.await;
        }
    }
}
