//! Who decides what an execution does next.

use jiff::Timestamp;

use super::driver::Driver;
use crate::definition::Program;
use crate::engine::control::Action;
use crate::engine::execution::Active;
use crate::engine::life::Core;
use crate::engine::progress::Progress;
use crate::interpreter::{Event, Machine, Transition, act, hear, transition};
use crate::{Error, ExecutionId, InboxId};

/// Who decides what an execution does next.
#[derive(Debug, Default)]
pub(in crate::engine) enum Code {
    /// The tasks of its definition. Or nobody: it is only looked at.
    #[default]
    Definition,
    /// A durable function.
    Function(Box<Driver>),
    /// A durable function that this engine does not have.
    Missing,
    /// A durable function that does not fit the journal, for this reason.
    Unfit(String),
}

impl Core {
    /// Finds who decides what an execution of a program does next.
    pub(in crate::engine) fn code(&self, program: &Program, execution: ExecutionId) -> Code {
        if !program.is_durable() {
            return Code::Definition;
        }
        match self.ports.durable.get(program.workflow()) {
            Some(function) => Code::Function(Box::new(Driver::new(function.clone(), execution))),
            None => Code::Missing,
        }
    }
}

impl Progress {
    /// Tells whether nobody here can decide what comes next.
    pub(in crate::engine) fn lacks_code(&self) -> bool {
        matches!(self.code, Code::Missing | Code::Unfit(_))
    }

    /// Tells whether the execution could go on at once.
    pub(in crate::engine) fn is_ready(&self) -> bool {
        self.state.is_ready() && !self.lacks_code()
    }

    /// Says whom an execution waits for whose function this engine lacks.
    pub(in crate::engine) fn wanted_worker(&self) -> String {
        let workflow = self.identity.program.workflow();
        format!(
            "a worker that has the durable function {}/{} {}",
            workflow.namespace, workflow.name, workflow.version
        )
    }

    /// Applies a new event. Where a durable function hears of it, what the function does
    /// becomes part of the event that is to be recorded.
    pub(in crate::engine) fn move_on(
        &mut self,
        core: &Core,
        event: &Event,
        at: Timestamp,
    ) -> (Option<Event>, Transition) {
        let machine = Machine {
            program: &self.identity.program,
            execution: self.identity.execution,
            limits: &core.options.execution,
            budget: &core.options.expression,
        };
        let state = &mut self.state;
        let Code::Function(driver) = &mut self.code else {
            return (None, transition(&machine, state, event, at));
        };
        let mut done = hear(&machine, state, event, at);
        let begins = matches!(event, Event::Started { .. } | Event::Continued);
        // A call begins with an entry of its own, so that a snapshot can come before it.
        let news = state.news().filter(|news| news.call.is_none() || begins);
        let Some(news) = news else {
            return (None, done);
        };
        match driver.advance(news, at) {
            Ok(advance) => {
                let Transition { records, effects } = act(&machine, state, &advance, at);
                done.records.extend(records);
                done.effects.extend(effects);
                let after = Box::new(event.clone());
                (Some(Event::FunctionAdvanced { after, advance }), done)
            }
            Err(why) => {
                self.code = Code::Unfit(why);
                (None, done)
            }
        }
    }

    /// Applies an event of the journal; a durable function must do the same again.
    pub(in crate::engine) fn replay(&mut self, core: &Core, event: &Event, at: Timestamp) {
        let machine = Machine {
            program: &self.identity.program,
            execution: self.identity.execution,
            limits: &core.options.execution,
            budget: &core.options.expression,
        };
        let state = &mut self.state;
        let (Code::Function(driver), Event::FunctionAdvanced { after, advance }) =
            (&mut self.code, event)
        else {
            transition(&machine, state, event, at);
            return;
        };
        hear(&machine, state, after, at);
        let repeated = match state.news() {
            Some(news) => driver.repeat(news, at, advance),
            None => Ok(()),
        };
        act(&machine, state, advance, at);
        if let Err(why) = repeated {
            self.code = Code::Unfit(why);
        }
    }

    /// Tells why the execution is to wait for somebody: its function does not fit its
    /// journal.
    pub(in crate::engine) fn is_stuck(&self) -> Option<&str> {
        match &self.code {
            Code::Unfit(why) if self.state.end().is_none() && !self.state.is_suspended() => {
                Some(why)
            }
            _ => None,
        }
    }

    /// Gives the end of an execution that is being cancelled and whose function, which
    /// does not fit its journal, cannot undo anything.
    pub(in crate::engine) fn given_up(&self) -> Option<Event> {
        let why = self.is_stuck().filter(|_| self.state.is_cancelling())?;
        let problem = self.failure(format!("it could not undo what it did: {why}"));
        Some(Event::Failed { problem })
    }
}

impl Active {
    /// Suspends an execution whose function does not fit its journal, so that somebody
    /// looks at it: no other try would give anything else.
    pub(in crate::engine) async fn suspend_stuck(&mut self) -> Result<(), Error> {
        let sequence = self.progress.sequence;
        let Some(why) = self.progress.is_stuck() else {
            return Ok(());
        };
        if self.stuck_at == Some(sequence) {
            return Ok(());
        }
        let identity = &self.progress.identity;
        tracing::error!(execution = %identity.execution, why, "a durable function is suspended");
        let order = InboxId::derived(identity.execution, &format!("stuck {sequence}"));
        let scope = self.life.scope(identity.tenant);
        let command = (Some(order), Action::Suspend);
        let reason = Some(why.to_owned());
        self.stuck_at = Some(sequence);
        self.core
            .command(&scope, self.progress.identity.execution, command, reason)
            .await?;
        Ok(())
    }
}
