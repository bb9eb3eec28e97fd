//! Rebuilds where an execution stands from its journal.

use jiff::Timestamp;

use super::durable_fn::Code;
use super::life::Core;
use super::progress::{Identity, Progress};
use super::stretch::Stretch;
use crate::interpreter::{Event, STATE_FORMAT, State};
use crate::store::{EventRow, Loaded};
use crate::{Error, ErrorKind};

impl Progress {
    /// Rebuilds an execution in order to look at it.
    pub(super) async fn recover(core: &Core, loaded: &Loaded) -> Result<Self, Error> {
        Self::rebuild(core, loaded, false).await
    }

    /// Rebuilds an execution in order to go on with it: a durable function is called
    /// again and hears what it heard before.
    pub(super) async fn take_up(core: &Core, loaded: &Loaded) -> Result<Self, Error> {
        Self::rebuild(core, loaded, true).await
    }

    /// Rebuilds the progress from snapshot and tail. The newest state that an event
    /// carries takes the place of everything before it.
    async fn rebuild(core: &Core, loaded: &Loaded, works: bool) -> Result<Self, Error> {
        let damaged = |what: &str| {
            Error::new(
                ErrorKind::Corrupt,
                format!("the journal of an execution is damaged: {what}"),
            )
            .with("execution", loaded.execution)
        };
        let mut state = State::new(loaded.started_at);
        let (mut sequence, mut snapshot_bytes) = (0, 0);
        if let Some(kept) = loaded.snapshot.as_ref() {
            if kept.format != STATE_FORMAT {
                return Err(damaged("its snapshot has a format of another version"));
            }
            state = State::from_snapshot(&kept.state)
                .map_err(|error| damaged("its snapshot cannot be read").with_source(error))?;
            (sequence, snapshot_bytes) = (kept.sequence, kept.state.len());
        }
        let last = sequence + loaded.tail.len() as u64;
        let (events, tail_bytes) = events_after(loaded, sequence, damaged)?;
        let carried = events.first().and_then(|(event, _)| event.rebuilt());
        let hash = carried
            .map(|rebuilt| rebuilt.program)
            .or_else(|| state.program());
        let program = core
            .programs
            .pinned(loaded.tenant, hash.unwrap_or(loaded.program))
            .await?;
        let code = if works {
            core.code(&program, loaded.execution)
        } else {
            Code::Definition
        };
        let mut progress = Self {
            identity: Identity {
                tenant: loaded.tenant,
                execution: loaded.execution,
                program,
                parent: loaded.parent,
                started_at: loaded.started_at,
                priority: loaded.priority,
                given: None,
            },
            state,
            code,
            sequence: last,
            snapshot: sequence,
            snapshot_bytes,
            tail_bytes,
        };
        let mut stretch = Stretch::begin();
        for (event, at) in &events {
            stretch.rest().await;
            progress.replay(core, event, *at);
        }
        Ok(progress)
    }
}

/// Reads the events after a snapshot; gives those that count, and how large they are.
fn events_after(
    loaded: &Loaded,
    mut sequence: u64,
    damaged: impl Fn(&str) -> Error,
) -> Result<(Vec<(Event, Timestamp)>, usize), Error> {
    let newest = |row: &EventRow| Event::is_rebuilding(row.kind);
    let from = loaded.tail.iter().rposition(newest).unwrap_or(0);
    for row in &loaded.tail {
        sequence += 1;
        if row.sequence != sequence {
            return Err(damaged("an event is missing"));
        }
    }
    let mut events = Vec::with_capacity(loaded.tail.len() - from);
    let mut bytes = 0;
    for row in &loaded.tail[from..] {
        let event = serde_json::from_str(&row.payload)
            .map_err(|error| damaged("an event cannot be read").with_source(error))?;
        events.push((event, row.at));
        bytes += row.payload.len() + row.records.len();
    }
    Ok((events, bytes))
}
