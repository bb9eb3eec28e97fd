//! An execution's journal as it is replayed: parts, each under one definition.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::definition::{Program, ProgramHash};
use crate::engine::life::Core;
use crate::interpreter::{Event, Machine, PutBack, Repeated, State, Stretch, transition};
use crate::store::ExecutionRow;
use crate::{Error, ErrorKind, ExecutionId, Scope, Violation};

/// Events and bytes of a journal that is read whole.
const EVENTS_MAX: usize = 50_000;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Events read at once.
const PAGE: u32 = 1_000;

/// Where an execution is put back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Start,
    /// A task, by JSON pointer, with `#` and the activation unless the newest is meant.
    Task(String),
}

/// A journal.
pub(super) struct History {
    parts: Vec<Part>,
    /// The last event's place.
    pub(super) last: u64,
}

struct Part {
    program: Arc<Program>,
    events: Vec<(Event, Timestamp)>,
}

/// A state to go on with, and how it came about.
pub(super) struct Plan {
    pub(super) state: State,
    /// The definition that the execution belonged to last.
    pub(super) before: ProgramHash,
    /// The task's pointer and activation; absent: the start.
    pub(super) task: Option<String>,
    pub(super) runs_again: Vec<Repeated>,
}

impl History {
    pub(super) async fn read(
        core: &Core,
        scope: &Scope,
        row: &ExecutionRow,
    ) -> Result<Self, Error> {
        let mut events: Vec<(Event, Timestamp)> = Vec::new();
        let (mut last, mut bytes) = (0, 0);
        loop {
            let store = &core.ports.store;
            let rows = store.journal_list(scope, row.id, last, PAGE).await?;
            for row in &rows {
                bytes += row.payload.len();
                let event = serde_json::from_str(&row.payload).map_err(|error| {
                    let message = "an event of the execution's journal cannot be read";
                    Error::new(ErrorKind::Corrupt, message).with_source(error)
                })?;
                events.push((event, row.at));
                last = row.sequence;
            }
            if EVENTS_MAX < events.len() || BYTES_MAX < bytes {
                let message = format!(
                    "the history is longer than {EVENTS_MAX} events or {BYTES_MAX} bytes; \
                     start a new execution instead"
                );
                return Err(Error::new(ErrorKind::Limit, message));
            }
            if rows.len() < PAGE as usize {
                break;
            }
        }
        if events.is_empty() {
            let message = "the execution has not begun; cancel it and start another one";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let parts = Self::parts(core, (scope, row), events).await?;
        Ok(Self { parts, last })
    }

    /// Cuts the events where a state takes the place of the one before it.
    async fn parts(
        core: &Core,
        (scope, row): (&Scope, &ExecutionRow),
        events: Vec<(Event, Timestamp)>,
    ) -> Result<Vec<Part>, Error> {
        let mut parts: Vec<Part> = Vec::new();
        let mut first = events.iter().filter_map(|(event, _)| event.rebuilt());
        let first = first.next().map_or(row.program, |rebuilt| rebuilt.before);
        for (event, at) in events {
            let hash = event.rebuilt().map(|rebuilt| rebuilt.program);
            if hash.is_some() || parts.is_empty() {
                let hash = hash.unwrap_or(first);
                let program = core.programs.pinned(scope.tenant(), hash).await?;
                parts.push(Part {
                    program,
                    events: Vec::new(),
                });
            }
            if let Some(part) = parts.last_mut() {
                part.events.push((event, at));
            }
        }
        Ok(parts)
    }

    /// Gives the definition that the execution belonged to last.
    pub(super) fn program(&self) -> Option<&Arc<Program>> {
        self.parts.last().map(|part| &part.program)
    }

    /// Makes the state to go on with under the target.
    pub(super) fn plan(
        &self,
        core: &Core,
        id: ExecutionId,
        place: &Place,
        (input, target): (Option<&Arc<Value>>, &Program),
    ) -> Result<Plan, Error> {
        let now = core.now();
        let last = self.parts.last().ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the execution has no history").with("execution", id)
        })?;
        let newest = last.newest(core, id);
        let before = last.program.hash();
        let Place::Task(task) = place else {
            let input = input.map(Arc::clone).unwrap_or_default();
            check(target.check_input(&input))?;
            return Ok(Plan {
                state: newest.anew(now).begins(input).under(target.hash()),
                before,
                task: None,
                runs_again: Vec::new(),
            });
        };
        let conflict = |why: String| Error::new(ErrorKind::Conflict, why);
        for (number, part) in self.parts.iter().enumerate().rev() {
            let stretch = Stretch {
                machine: part.machine(core, id),
                events: &part.events,
            };
            let Some(back) = stretch.put_back(task, input, now).map_err(conflict)? else {
                continue;
            };
            let PutBack {
                mut state,
                task,
                runs_again,
            } = back;
            for later in &self.parts[number + 1..] {
                state.know(&later.events);
            }
            state.raise(&newest);
            if let Some(input) = input {
                check(part.program.check_task_input(&task, input))?;
            }
            let state = if part.program.hash() == target.hash() {
                state.under(target.hash())
            } else {
                let mapped = state.mapped(&part.program, target);
                mapped.map_err(|why| conflict(why.join("; ")))?
            };
            return Ok(Plan {
                state,
                before,
                task: Some(task),
                runs_again,
            });
        }
        Err(conflict(format!(
            "the task {task} has not run in this execution"
        )))
    }
}

impl Part {
    fn machine<'a>(&'a self, core: &'a Core, execution: ExecutionId) -> Machine<'a> {
        Machine {
            program: &self.program,
            execution,
            limits: &core.options.execution,
            budget: &core.options.expression,
        }
    }

    /// Gives the state after the last event.
    fn newest(&self, core: &Core, id: ExecutionId) -> State {
        let machine = self.machine(core, id);
        let mut state = State::new(core.now());
        for (event, at) in &self.events {
            transition(&machine, &mut state, event, *at);
        }
        state
    }
}

fn check(checked: Result<(), Vec<(String, String)>>) -> Result<(), Error> {
    checked.map_err(|found| {
        let message = "the input does not match its schema";
        let found = found
            .into_iter()
            .map(|(pointer, message)| Violation { pointer, message });
        Error::new(ErrorKind::Invalid, message).with_violations(found.collect())
    })
}
