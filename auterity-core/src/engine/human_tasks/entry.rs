//! What a journal entry does to human tasks.

use jiff::Timestamp;

use super::details::{HumanTaskDetails, audiences};
use crate::engine::progress::{Identity, to_json};
use crate::interpreter::{Effect, HumanTask};
use crate::store::{HumanTaskAsk, HumanTaskChange, HumanTaskClose};
use crate::{Error, HumanTaskId};

/// Gives what becomes of an execution's human tasks, one change for each: of several
/// effects about the same one the last counts.
pub(in crate::engine) fn changes(
    identity: &Identity,
    effects: &[Effect],
    now: Timestamp,
) -> Result<Vec<HumanTaskChange>, Error> {
    let new = |effect: u64| HumanTaskChange {
        id: HumanTaskId::of(identity.execution, effect),
        effect,
        at: now,
        ask: None,
        escalate: Vec::new(),
        close: None,
    };
    let mut changes = Vec::new();
    for effect in effects {
        let change = match effect {
            Effect::Ask { effect, human_task } => HumanTaskChange {
                ask: Some(Box::new(ask(identity, human_task)?)),
                ..new(*effect)
            },
            Effect::Escalate { effect, to } => HumanTaskChange {
                escalate: audiences(to),
                ..new(*effect)
            },
            Effect::Hold { effect } => HumanTaskChange {
                close: Some(HumanTaskClose::Hold),
                ..new(*effect)
            },
            Effect::Withdraw { effect } => HumanTaskChange {
                close: Some(HumanTaskClose::Withdraw),
                ..new(*effect)
            },
            _ => continue,
        };
        HumanTaskChange::add_to(&mut changes, change);
    }
    Ok(changes)
}

fn ask(identity: &Identity, human_task: &HumanTask) -> Result<HumanTaskAsk, Error> {
    Ok(HumanTaskAsk {
        workflow: identity.program.workflow().clone(),
        task: human_task.task.clone(),
        title: human_task.title.clone(),
        deadline: human_task.deadline,
        audiences: audiences(&human_task.assignees),
        details: to_json(&HumanTaskDetails::of(human_task))?,
    })
}
