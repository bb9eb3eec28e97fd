//! What really happened: written down beside the engine, compared with what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::interpreter::Event;
use crate::store::{Entry, Fence, Next, Outcome};
use crate::{ExecutionId, WorkerId};

/// Everything observed in one simulation.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Batches that were committed.
    pub(super) commits: u64,
    /// Calls of bodies, by key, each with the life that did it.
    pub(super) bodies: BTreeMap<String, Vec<WorkerId>>,
    /// Effects whose end is recorded, with the life that recorded it.
    recorded: BTreeMap<String, WorkerId>,
    /// How often an execution's end was committed.
    pub(super) ends: BTreeMap<ExecutionId, u32>,
    /// Every execution that was started, by whomever.
    pub(super) started: BTreeSet<ExecutionId>,
    /// Every snapshot that was committed.
    pub(super) snapshots: BTreeMap<(ExecutionId, u64), Arc<str>>,
    /// What must not happen and did.
    pub(super) violations: Vec<String>,
}

impl Ledger {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears that a life begins the body of an effect.
    pub(super) fn body(&self, key: &str, life: WorkerId) {
        let mut state = self.lock();
        if state.recorded.get(key) == Some(&life) {
            let text = format!("{life} did {key} after it had recorded its end");
            state.violations.push(text);
        }
        let lives = state.bodies.entry(key.to_owned()).or_default();
        let again = lives.contains(&life);
        lives.push(life);
        if again {
            state.violations.push(format!("{life} did {key} twice"));
        }
    }

    /// Hears of a committed batch.
    pub(super) fn committed(&self, fence: Option<&Fence>, entries: &[Entry], outcomes: &[Outcome]) {
        let mut state = self.lock();
        state.commits += 1;
        for (entry, outcome) in entries.iter().zip(outcomes) {
            if *outcome == Outcome::Recorded {
                state.note(fence, entry);
            }
        }
    }
}

impl State {
    fn note(&mut self, fence: Option<&Fence>, entry: &Entry) {
        let execution = entry.execution;
        if entry.start.is_some() && !self.started.insert(execution) {
            self.violations
                .push(format!("{execution} was started twice"));
        }
        if let Some(snapshot) = &entry.snapshot {
            let key = (execution, snapshot.sequence);
            self.snapshots.insert(key, Arc::clone(&snapshot.state));
        }
        if matches!(entry.next, Next::Ended(_)) {
            *self.ends.entry(execution).or_default() += 1;
        }
        let Some(life) = fence.map(|fence| fence.worker) else {
            return;
        };
        for row in &entry.events {
            let event: Result<Event, _> = serde_json::from_str(&row.payload);
            let event = event.as_ref().map(Event::cause);
            let Ok(Event::EffectEnded { effect, .. } | Event::ChildEnded { effect, .. }) = event
            else {
                continue;
            };
            let key = format!("{execution}-{effect}");
            if self.recorded.insert(key.clone(), life).is_some() {
                self.violations.push(format!("{key} was recorded twice"));
            }
        }
    }
}
