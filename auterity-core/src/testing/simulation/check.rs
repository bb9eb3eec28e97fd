//! What must hold at the end of a simulation.

use crate::definition::{CompileOptions, Program, compile};
use crate::engine::{Options, tasks_of};
use crate::interpreter::{Event, Machine, State, TaskRecord, TaskState, transition};
use crate::store::{EventRow, ExecutionRow};
use crate::testing::History;

use super::ledger;

/// Checks one execution's journal: complete, nothing twice, and equal to what the
/// interpreter makes of it, from the start as well as from a snapshot at any place.
pub(super) fn journal(
    history: &History,
    text: &str,
    options: &Options,
    ledger: &ledger::State,
) -> Result<(), String> {
    let row = history.row();
    let rows: Vec<&EventRow> = history
        .events()
        .filter(|event| event.kind != "execution.ended")
        .collect();
    for (place, event) in rows.iter().enumerate() {
        if event.sequence != place as u64 + 1 {
            return Err(format!("event {} is at place {place}", event.sequence));
        }
    }
    once_each(history)?;
    let program = compile(text, &CompileOptions::default());
    let program = program.map_err(|mistakes| format!("it does not compile: {mistakes:?}"))?;
    replay(row, &rows, &program, (options, ledger))
}

/// No activation of a task ends twice.
fn once_each(history: &History) -> Result<(), String> {
    let ends =
        |record: &&TaskRecord| !matches!(record.state, TaskState::Started | TaskState::Retrying);
    let mut seen = std::collections::BTreeSet::new();
    for record in history.records().filter(ends) {
        if !seen.insert(record.path.clone()) {
            return Err(format!("{} ended twice", record.path));
        }
    }
    Ok(())
}

fn replay(
    row: &ExecutionRow,
    rows: &[&EventRow],
    program: &Program,
    (options, ledger): (&Options, &ledger::State),
) -> Result<(), String> {
    let machine = Machine {
        program,
        execution: row.id,
        limits: &options.execution,
        budget: &options.expression,
    };
    let mut state = State::new(row.started_at);
    for event in rows {
        let at = event.sequence;
        let read = serde_json::from_str::<Event>(&event.payload);
        let happened = read.map_err(|error| format!("event {at} cannot be read: {error}"))?;
        let done = transition(&machine, &mut state, &happened, event.at);
        let recorded = tasks_of(event).map_err(|error| format!("event {at}: {error}"))?;
        if recorded != done.records {
            return Err(format!(
                "event {at} was recorded with {recorded:?} and replays with {:?}",
                done.records
            ));
        }
        // Each state goes through its text, so each could be a snapshot.
        let kept = state
            .to_snapshot()
            .and_then(|text| State::from_snapshot(&text))
            .map_err(|error| format!("the state after event {at} cannot be kept: {error}"))?;
        if kept != state {
            return Err(format!("the state after event {at} changes as a snapshot"));
        }
        if let Some(snapshot) = ledger.snapshots.get(&(row.id, at))
            && !State::from_snapshot(snapshot).is_ok_and(|snapshot| snapshot == state)
        {
            return Err(format!(
                "the snapshot after event {at} is not the journal's"
            ));
        }
        state = kept;
    }
    if state.end().is_none() {
        return Err("its journal does not end".to_owned());
    }
    Ok(())
}
