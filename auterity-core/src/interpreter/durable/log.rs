//! Where a durable function stands, and what is asked about that.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{What, Wish};
use crate::definition::pointer_join;
use crate::interpreter::state::{Data, State};
use crate::interpreter::{EffectResult, Limits, Problem, ProblemKind, Request};

/// Where a durable function stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Log {
    /// What the function is called with.
    #[serde(with = "crate::interpreter::snapshot::one")]
    pub(super) input: Data,
    /// Tells this call of the function from all others in the execution.
    pub(super) call: u64,
    /// Whether the function is still to be called.
    pub(super) due: bool,
    /// The number of the next step.
    pub(super) next: u64,
    /// The steps that have not ended, by number.
    pub(super) open: BTreeMap<u64, Step>,
    /// Steps that have ended and of which the function has not heard yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unheard: Vec<(u64, EffectResult)>,
    /// Why the function cannot go on, if the engine suspended it for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stuck: Option<String>,
}

/// A step that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) wish: Wish,
    /// The effect that stands for the present try.
    pub(super) effect: u64,
    /// The number of this activation in its execution.
    pub(super) activation: u64,
    pub(super) attempt: u32,
    pub(super) started_at: Timestamp,
    /// A time that it waits for: the end of a sleep, or of a pause between tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Timestamp>,
}

impl Step {
    /// Tells whether something is under way for it outside.
    pub(super) fn is_performed(&self) -> bool {
        self.until.is_none() && !self.listens()
    }

    pub(super) fn listens(&self) -> bool {
        matches!(self.wish.what, What::Event(_))
    }

    pub(super) fn is_child(&self) -> bool {
        matches!(&self.wish.what, What::Child(child) if child.awaited)
    }
}

/// What a durable function is to hear.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct News {
    /// When it is to be called from its start: which call that is, and the input.
    pub(crate) call: Option<(u64, Data)>,
    /// The steps that ended, with what they gave.
    pub(crate) ended: Vec<(u64, EffectResult)>,
}

impl Log {
    /// Makes the log of a function that is to be called.
    pub(super) fn new(input: Data, call: u64) -> Self {
        Self {
            input,
            call,
            due: true,
            next: 1,
            open: BTreeMap::new(),
            unheard: Vec::new(),
            stuck: None,
        }
    }

    /// Tells whether there is something that the function has not heard.
    pub(in crate::interpreter) fn has_news(&self) -> bool {
        self.due || !self.unheard.is_empty()
    }

    /// Gives the effects under way outside.
    pub(in crate::interpreter) fn performed(&self) -> impl Iterator<Item = u64> {
        let performed = self.open.values().filter(|step| step.is_performed());
        performed.map(|step| step.effect)
    }

    /// Gives the effects that are awaited child executions.
    pub(in crate::interpreter) fn children(&self) -> impl Iterator<Item = u64> {
        let children = self.open.values().filter(|step| step.is_child());
        children.map(|step| step.effect)
    }

    pub(in crate::interpreter) fn listens(&self, effect: u64) -> bool {
        let mut open = self.open.values();
        open.any(|step| step.effect == effect && step.listens())
    }

    pub(in crate::interpreter) fn next_due(&self) -> Option<Timestamp> {
        self.open.values().filter_map(|step| step.until).min()
    }

    /// Gives the JSON pointers of the open steps below the one of the function.
    pub(in crate::interpreter) fn pointers(&self, function: &str) -> impl Iterator<Item = String> {
        let names = self.open.values().map(|step| &step.wish.name);
        names.map(move |name| pointer_join(function, name))
    }

    pub(in crate::interpreter) fn waiting_for(&self) -> impl Iterator<Item = String> {
        self.open.values().filter_map(|step| {
            let name = &step.wish.name;
            match (&step.wish.what, step.until) {
                (_, Some(until)) => Some(format!("{name}: until {until:.0}")),
                (What::Event(_), None) => Some(format!("{name}: an event")),
                (What::Child(child), None) if child.awaited => Some(format!("{name}: its child")),
                _ => None,
            }
        })
    }

    pub(in crate::interpreter) fn stuck(&self) -> Option<&str> {
        self.stuck.as_deref()
    }

    /// Finds an open step by the pointer that history shows, with `#` and the activation
    /// where more than one has it.
    pub(super) fn at_work(&self, function: &str, wanted: &str) -> Result<u64, String> {
        let found = self.open.iter().filter(|(_, step)| {
            let pointer = pointer_join(function, &step.wish.name);
            wanted == pointer || wanted == format!("{pointer}#{}", step.activation)
        });
        let found: Vec<u64> = found.map(|(number, _)| *number).collect();
        match found.as_slice() {
            [] => Err(format!("the step {wanted} is not at work")),
            [one] => Ok(*one),
            many => Err(format!(
                "the step {wanted} is at work {} times; name one with # and its activation",
                many.len()
            )),
        }
    }

    pub(super) fn find(&self, wanted: impl Fn(&Step) -> bool) -> Option<u64> {
        let mut open = self.open.iter();
        open.find(|(_, step)| wanted(step))
            .map(|(number, _)| *number)
    }

    /// Gives what an effect asks for.
    pub(in crate::interpreter) fn request(
        &self,
        effect: u64,
        (function, nesting, limits): (&str, u32, &Limits),
    ) -> Result<Request, Problem> {
        let found = self.open.iter().find(|(_, step)| step.effect == effect);
        let Some((number, step)) = found else {
            let detail = "no step waits for this effect";
            return Err(Problem::new(ProblemKind::Runtime, detail));
        };
        let task = pointer_join(function, &step.wish.name);
        match &step.wish.what {
            What::Body => Ok(Request::Step {
                step: *number,
                task,
                attempt: step.attempt,
                time_ms_max: step.wish.time_ms_max,
            }),
            What::Call {
                function,
                arguments,
            } => Ok(Request::Call {
                function: function.clone(),
                arguments: Value::clone(arguments),
                input: Data::default(),
                task,
                awaited: true,
            }),
            What::Child(child) => {
                let nesting = limits.nested(nesting, child.awaited)?;
                Ok(Request::Child {
                    namespace: child.namespace.clone(),
                    name: child.name.clone(),
                    version: child.version.clone(),
                    input: Value::clone(&child.input),
                    awaited: child.awaited,
                    nesting,
                })
            }
            What::Sleep(_) | What::Event(_) => {
                let detail = "the step has no effect";
                Err(Problem::new(ProblemKind::Runtime, detail))
            }
        }
    }
}

impl State {
    /// Gives what the durable function is to hear, if it may go on.
    pub(crate) fn news(&self) -> Option<News> {
        let goes_on = self.end.is_none() && !self.is_suspended();
        let log = self.durable.as_ref().filter(|_| goes_on)?;
        log.has_news().then(|| News {
            call: log.due.then(|| (log.call, Data::clone(&log.input))),
            ended: log.unheard.clone(),
        })
    }

    /// Tells whether the durable function is called with nothing behind it, so that a
    /// snapshot replaces all that was before.
    pub(crate) fn begins_anew(&self) -> bool {
        let log = self.durable.as_ref();
        self.end.is_none() && log.is_some_and(|log| log.due && log.open.is_empty())
    }
}
