//! What an execution has decided and the journal has not confirmed yet.
//!
//! One entry at most is on its way to the journal; what is decided meanwhile gathers in
//! the next one. So the order of commits is the order of decisions.

use std::future::Future;
use std::pin::Pin;

use super::figures::Tally;
use super::journal::{Appended, Journal};
use super::progress::Prepared;
use crate::Error;
use crate::interpreter::Event;
use crate::store::{Entry, HumanTaskChange};

/// Events that may gather before the execution waits for the journal.
const EVENTS_MAX: usize = 256;

/// Bytes of events and state that may gather before the execution waits.
const BYTES_MAX: usize = 1 << 20;

/// What an entry records that gathers or is on its way.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) events: Vec<Event>,
    pub(super) tally: Tally,
    /// Whether something began before the entry's commit.
    pub(super) ran_ahead: bool,
}

type Answer = Pin<Box<dyn Future<Output = Result<Appended, Error>> + Send>>;

/// The journal's answer to an entry, with what followed from it here.
pub(super) struct Confirmed {
    pub(super) appended: Appended,
    pub(super) decided: Decided,
}

/// The entries of one execution between decision and commit.
#[derive(Default)]
pub(super) struct Ahead {
    sent: Option<(Answer, Decided)>,
    gathered: Option<(Entry, Decided)>,
    bytes: usize,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_none() && self.gathered.is_none()
    }

    /// Tells whether nothing more should be decided before the journal has answered.
    pub(super) fn is_full(&self) -> bool {
        let gathered = self.gathered.as_ref();
        let gathered = gathered.map_or(0, |(_, decided)| decided.events.len());
        EVENTS_MAX <= gathered || BYTES_MAX <= self.bytes
    }

    /// Adds what was decided.
    pub(super) fn gather(&mut self, prepared: Prepared, events: Vec<Event>, ran_ahead: bool) {
        let Prepared { entry, tally, .. } = prepared;
        let rows = entry.events.iter();
        self.bytes += rows
            .map(|row| row.payload.len() + row.records.len())
            .sum::<usize>();
        self.bytes += entry.snapshot.as_ref().map_or(0, |kept| kept.state.len());
        match &mut self.gathered {
            None => {
                let decided = Decided {
                    events,
                    tally,
                    ran_ahead,
                };
                self.gathered = Some((entry, decided));
            }
            Some((earlier, decided)) => {
                decided.ran_ahead |= ran_ahead;
                decided.events.extend(events);
                decided.tally.add(&tally);
                merge(earlier, entry);
            }
        }
    }

    /// Sends what has gathered, unless something is on its way already.
    pub(super) fn send(&mut self, journal: &Journal) {
        if self.sent.is_none()
            && let Some((entry, decided)) = self.gathered.take()
        {
            self.bytes = 0;
            let answer = journal.send(entry);
            self.sent = Some((Box::pin(answer), decided));
        }
    }

    /// Waits for the answer to what is on its way; for ever if that is nothing.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn confirmed(&mut self) -> Result<Confirmed, Error> {
        let Some((answer, _)) = &mut self.sent else {
            return std::future::pending().await;
        };
        let appended = answer.await;
        let Some((_, decided)) = self.sent.take() else {
            return std::future::pending().await;
        };
        Ok(Confirmed {
            appended: appended?,
            decided,
        })
    }

    /// Forgets what has gathered, because what it builds on was refused.
    pub(super) fn forget(&mut self) {
        self.gathered = None;
        self.bytes = 0;
    }
}

/// Adds a later entry of the same execution.
fn merge(earlier: &mut Entry, later: Entry) {
    let Entry {
        tenant: _,
        execution: _,
        start: _,
        events,
        snapshot,
        subscribe,
        unsubscribe,
        human_tasks,
        consumed,
        messages,
        next,
    } = later;
    earlier.events.extend(events);
    if snapshot.is_some() {
        earlier.snapshot = snapshot;
    }
    earlier.subscribe.extend(subscribe);
    earlier.unsubscribe.extend(unsubscribe);
    for change in human_tasks {
        HumanTaskChange::add_to(&mut earlier.human_tasks, change);
    }
    earlier.consumed.extend(consumed);
    earlier.messages.extend(messages);
    earlier.next = next;
}
