//! Tasks for people: what somebody may ask and do, and what the deadline decides.
//!
//! An execution that waits for a person is parked like any other. An answer travels to it
//! as a message that is put together with the change of the human task; at the deadline
//! the execution asks the store whether an answer came before, and closes the task if
//! none did.

mod details;
mod entry;
mod rules;

use serde_json::Value;

pub use self::details::{HumanTaskDetails, Person};
pub(super) use self::entry::changes;
use self::rules::{Doer, expired};
pub use self::rules::{HumanTaskAction, HumanTaskAnswer, HumanTaskRights};
use super::handle::Handle;
use super::life::Core;
use super::perform::Doing;
use crate::interpreter::{Problem, ProblemKind, fits};
use crate::store::{
    HumanTaskCounts, HumanTaskNote, HumanTaskQuery, HumanTaskRow, HumanTaskState, Page,
};
use crate::{Error, ErrorKind, HumanTaskId, Scope};

/// How often somebody's action is decided anew because another came between.
const ROUNDS_MAX: u32 = 20;

/// Up to how many human tasks are counted.
const COUNTED_MAX: u32 = 1_000;

/// A human task with everything that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanTaskView {
    /// The task.
    pub row: HumanTaskRow,
    /// What a person has to know to answer.
    pub details: HumanTaskDetails,
    /// Whom it is for: `user:` and an id or an address, `role:` and a name, or `anyone`;
    /// nobody once it is closed.
    pub audiences: Vec<String>,
    /// What was done with it, oldest first.
    pub notes: Vec<HumanTaskNote>,
}

impl Handle {
    /// Lists human tasks, newest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn human_tasks(
        &self,
        scope: &Scope,
        query: &HumanTaskQuery,
    ) -> Result<Page<HumanTaskRow>, Error> {
        self.core.ports.store.human_task_list(scope, query).await
    }

    /// Counts what waits for a person, each kind up to 1,000.
    ///
    /// # Errors
    /// What the store says.
    pub async fn human_task_counts(
        &self,
        scope: &Scope,
        person: &Person,
    ) -> Result<HumanTaskCounts, Error> {
        let audiences = person.audiences();
        let store = &self.core.ports.store;
        store
            .human_task_count(scope, &audiences, person.id, COUNTED_MAX)
            .await
    }

    /// Fetches a human task.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a task.
    pub async fn human_task(&self, scope: &Scope, id: HumanTaskId) -> Result<HumanTaskView, Error> {
        let found = self.core.ports.store.human_task_fetch(scope, id).await?;
        let whole = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such human task").with("task", id)
        })?;
        Ok(HumanTaskView {
            details: HumanTaskDetails::read(&whole.row)?,
            row: whole.row,
            audiences: whole.audiences,
            notes: whole.notes,
        })
    }

    /// Tells what a person may do with a human task now.
    #[must_use]
    pub fn human_task_rights(
        &self,
        scope: &Scope,
        view: &HumanTaskView,
        person: &Person,
    ) -> HumanTaskRights {
        let doer = Doer {
            tenant: scope.tenant(),
            person,
            now: self.core.now(),
        };
        doer.rights(&view.row, &view.audiences)
    }

    /// Does what a person wants done with a human task; gives the task as it is then. Of
    /// two answers one wins. What the person did before is not done again.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a task,
    /// [`Conflict`](ErrorKind::Conflict) when it is closed, held or somebody else's,
    /// [`Forbidden`](ErrorKind::Forbidden) when it is for others,
    /// [`Invalid`](ErrorKind::Invalid) with every violation when the answer is not what
    /// the task asks for, [`Limit`](ErrorKind::Limit) when it is too large.
    ///
    /// # Cancel safety
    /// A dropped future may leave the action done; repeating it is harmless.
    pub async fn human_task_act(
        &self,
        scope: &Scope,
        id: HumanTaskId,
        (person, action): (&Person, &HumanTaskAction),
    ) -> Result<HumanTaskView, Error> {
        if let HumanTaskAction::Complete(HumanTaskAnswer {
            data: Some(data), ..
        }) = action
        {
            let most = self.core.options.execution.payload_bytes_max;
            if !fits(data, most) {
                let message = format!("the answer is larger than {most} bytes of JSON");
                return Err(Error::new(ErrorKind::Limit, message));
            }
        }
        let store = &self.core.ports.store;
        for _ in 0..ROUNDS_MAX {
            let Some(whole) = store.human_task_fetch(scope, id).await? else {
                break;
            };
            let details = HumanTaskDetails::read(&whole.row)?;
            let doer = Doer {
                tenant: scope.tenant(),
                person,
                now: self.core.now(),
            };
            let Some(update) = doer.act(&whole, &details, action)? else {
                break;
            };
            if store.human_task_update(&update).await? {
                let message = update.message.as_slice();
                self.core.announce(message).await;
                break;
            }
        }
        self.human_task(scope, id).await
    }
}

impl Core {
    /// Closes a human task whose deadline has come, unless somebody answered before; gives
    /// what its execution gets.
    async fn expire(
        &self,
        scope: &Scope,
        id: HumanTaskId,
        otherwise: &Result<Value, Problem>,
    ) -> Result<Result<Value, Problem>, Error> {
        loop {
            let Some(whole) = self.ports.store.human_task_fetch(scope, id).await? else {
                return Ok(otherwise.clone());
            };
            if whole.row.state == HumanTaskState::Completed {
                let answer = whole.row.answer.as_deref().unwrap_or("null");
                let answer = serde_json::from_str(answer).map_err(|error| {
                    let message = "the answer of a human task cannot be read";
                    Error::new(ErrorKind::Corrupt, message).with_source(error)
                })?;
                return Ok(Ok(answer));
            }
            if !whole.row.state.is_active() {
                return Ok(otherwise.clone());
            }
            let answer = match otherwise {
                Ok(answer) => answer.clone(),
                Err(_) => Value::Null,
            };
            let update = expired(scope.tenant(), &whole, &answer, self.now());
            if self.ports.store.human_task_update(&update).await? {
                return Ok(otherwise.clone());
            }
        }
    }
}

impl Doing {
    /// Decides a human task whose deadline has come.
    pub(super) async fn decide(&self, otherwise: Result<Value, Problem>) -> Result<Value, Problem> {
        let scope = self.life.scope(self.tenant);
        let id = HumanTaskId::of(self.execution, self.effect);
        loop {
            match self.core.expire(&scope, id, &otherwise).await {
                Ok(result) => return result,
                Err(error) if error.is_retryable() => self.pause().await,
                Err(error) => {
                    return Err(Problem::new(ProblemKind::Runtime, error.message()));
                }
            }
        }
    }
}
