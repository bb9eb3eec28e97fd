//! Signs of life of functions under way: how far they have come, and when one is silent
//! for too long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::SignedDuration;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::life::Core;
use super::perform::{Doing, guarded};
use crate::functions::{Function, Heart, Invocation};
use crate::interpreter::{Problem, ProblemKind};
use crate::store::TaskProgress;
use crate::{ExecutionId, TenantId};

/// What is kept with one write at most; the rest waits for the next.
const KEPT_MAX: usize = 500;

/// An effect of an execution.
type Key = (ExecutionId, u64);

/// What functions under way in this process said last, and what of it the store does
/// not know yet.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    said: Mutex<Said>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Said {
    last: BTreeMap<Key, TaskProgress>,
    /// What the store is to keep.
    unkept: BTreeSet<Key>,
    /// What the store is to remove.
    over: BTreeSet<Key>,
}

impl Heartbeats {
    fn note(&self, progress: TaskProgress) {
        let key = (progress.execution, progress.effect);
        let mut said = self.lock();
        said.last.insert(key, progress);
        said.unkept.insert(key);
        drop(said);
        self.changed.notify_one();
    }

    /// Forgets what an effect said that is over.
    pub(super) fn forget(&self, key: Key) {
        let mut said = self.lock();
        if said.last.remove(&key).is_some() {
            said.unkept.remove(&key);
            said.over.insert(key);
            drop(said);
            self.changed.notify_one();
        }
    }

    /// Forgets what an effect said that goes on elsewhere.
    fn leave(&self, key: Key) {
        let mut said = self.lock();
        said.last.remove(&key);
        said.unkept.remove(&key);
    }

    /// Puts what was said here in place of what the store knows.
    pub(super) fn renew(
        &self,
        (tenant, execution): (TenantId, ExecutionId),
        known: &mut Vec<TaskProgress>,
    ) {
        let said = self.lock();
        let here = said.last.range((execution, 0)..=(execution, u64::MAX));
        for (_, progress) in here.filter(|(_, progress)| progress.tenant == tenant) {
            known.retain(|one| one.effect != progress.effect);
            known.push(progress.clone());
        }
        known.sort_by_key(|one| one.effect);
    }

    /// Takes what the store does not know yet; tells whether there is more.
    fn take(&self) -> (Vec<TaskProgress>, Vec<Key>, bool) {
        let mut said = self.lock();
        let Said { last, unkept, over } = &mut *said;
        let keys: Vec<Key> = unkept.iter().copied().take(KEPT_MAX).collect();
        for key in &keys {
            unkept.remove(key);
        }
        let kept = keys.iter().filter_map(|key| last.get(key).cloned());
        let gone: Vec<Key> = over.iter().copied().take(KEPT_MAX).collect();
        for key in &gone {
            over.remove(key);
        }
        let more = !unkept.is_empty() || !over.is_empty();
        (kept.collect(), gone, more)
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what functions say, at most once in each polling time. What cannot be kept is
/// said again.
pub(super) async fn keep(core: Arc<Core>) {
    let stopping = core.routines.stopping().clone();
    if let Err(error) = core.ports.store.task_progress_sweep().await {
        tracing::debug!(error = %error, "progress of ended executions was not removed");
    }
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = core.heartbeats.changed.notified() => {}
        }
        let Some(life) = core.life() else { continue };
        let (said, over, more) = core.heartbeats.take();
        let store = &core.ports.store;
        if let Err(error) = store.task_progress_put(&life.fence, &said, &over).await {
            tracing::debug!(error = %error, "what functions say of themselves was not kept");
        }
        if more {
            core.heartbeats.changed.notify_one();
        }
        let until = core.now() + core.options.poll;
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = core.ports.clock.sleep_until(until) => {}
        }
    }
}

/// Forgets a call that is cut off before its end.
struct Leaving<'h>(&'h Heartbeats, Key);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

impl Doing {
    /// Calls a function that is to give signs of life.
    pub(super) async fn listened_to(
        &self,
        function: &dyn Function,
        invocation: Invocation,
        silence_max: SignedDuration,
    ) -> Result<Value, Problem> {
        let key = (self.execution, self.effect);
        let heartbeats = &self.core.heartbeats;
        let _leaving = Leaving(heartbeats, key);
        let (heart, beats) = Heart::heard();
        let task = invocation.task.clone();
        let invocation = Invocation {
            heart,
            resumed_from: self.said_before().await,
            ..invocation
        };
        let result = tokio::select! {
            biased;
            result = guarded(function, invocation) => result,
            () = self.silence(beats, &task, silence_max) => {
                let detail = format!("the function gave no sign of life for {silence_max:#}");
                Err(Problem::new(ProblemKind::Timeout, detail))
            }
        };
        heartbeats.forget(key);
        result
    }

    /// Gives what an earlier try of the same call said, which a crash or a stop cut off.
    async fn said_before(&self) -> Option<Arc<Value>> {
        let scope = self.life.scope(self.tenant);
        let store = &self.core.ports.store;
        let said = store.task_progress_fetch(&scope, self.execution).await;
        let said = said.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "what a function said before could not be read");
            Vec::new()
        });
        let last = said.into_iter().find(|one| one.effect == self.effect)?;
        let details = serde_json::from_str(&last.details).ok()?;
        // Known here, it is removed at the end of the call.
        self.core.heartbeats.note(last);
        Some(Arc::new(details))
    }

    /// Notes what the function says; returns when it was silent for too long.
    async fn silence(
        &self,
        mut beats: watch::Receiver<Option<Arc<Value>>>,
        task: &str,
        most: SignedDuration,
    ) {
        loop {
            tokio::select! {
                biased;
                // An error: the function let its heart go, and is silent from now on.
                Ok(()) = beats.changed() => {}
                _ = self.time_over(Some(most)) => return,
            }
            let details = beats.borrow_and_update().clone();
            if let Some(details) = details {
                self.core.heartbeats.note(TaskProgress {
                    tenant: self.tenant,
                    execution: self.execution,
                    effect: self.effect,
                    task: task.to_owned(),
                    at: self.core.now(),
                    details: details.to_string().into(),
                });
            }
        }
    }
}
