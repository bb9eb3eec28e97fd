//! Who may do what with a human task, and what comes of it: decided without any I/O.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::details::{HumanTaskDetails, Person, user};
use crate::definition::schema::SchemaCheck;
use crate::store::{
    HumanTaskNote, HumanTaskRow, HumanTaskState, HumanTaskUpdate, HumanTaskWhole, InboxMessage,
    MessageKind,
};
use crate::{Error, ErrorKind, TenantId, UserId, Violation};

/// Bytes of a comment.
const COMMENT_BYTES_MAX: usize = 4 * 1024;

/// What somebody does with a human task.
#[derive(Debug, Clone, PartialEq)]
pub enum HumanTaskAction {
    /// Takes it, so that nobody else answers.
    Claim,
    /// Gives it back to those whom it is for.
    Release,
    /// Hands it on to somebody.
    Delegate {
        /// To whom.
        to: Person,
    },
    /// Answers it.
    Complete(HumanTaskAnswer),
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct HumanTaskAnswer {
    /// One of the task's outcomes.
    pub outcome: String,
    /// What was filled into the form.
    pub data: Option<Value>,
    /// What else there is to say.
    pub comment: Option<String>,
}

/// What somebody may do with a human task now.
#[expect(clippy::struct_excessive_bools, reason = "one answer for each action")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HumanTaskRights {
    /// Take it.
    pub claim: bool,
    /// Give it back, or take it from somebody.
    pub release: bool,
    /// Hand it on.
    pub delegate: bool,
    /// Answer it.
    pub complete: bool,
}

/// Somebody who does something with a human task of a tenant, now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doer<'a> {
    pub(super) tenant: TenantId,
    pub(super) person: &'a Person,
    pub(super) now: Timestamp,
}

impl Doer<'_> {
    /// Gives the change that an action is; none if it was done before.
    pub(super) fn act(
        &self,
        whole: &HumanTaskWhole,
        details: &HumanTaskDetails,
        action: &HumanTaskAction,
    ) -> Result<Option<HumanTaskUpdate>, Error> {
        if let HumanTaskAction::Complete(answer) = action
            && self.has_said(whole, answer)
        {
            return Ok(None);
        }
        let (row, me) = (&whole.row, self.person.id);
        self.check_active(row)?;
        let assigned = || self.check_assigned(row, &whole.audiences);
        let mut update = match action {
            HumanTaskAction::Claim => {
                if row.claimed_by == Some(me) {
                    return Ok(None);
                }
                assigned()?;
                self.update(whole, "claimed", Some(me))
            }
            HumanTaskAction::Release => {
                if row.state == HumanTaskState::Open {
                    return Ok(None);
                }
                if row.claimed_by != Some(me) && !self.person.manages {
                    return Err(forbidden("somebody else has the task"));
                }
                self.update(whole, "released", None)
            }
            HumanTaskAction::Delegate { to } => {
                if !self.person.manages {
                    assigned()?;
                }
                if row.claimed_by == Some(to.id) {
                    return Ok(None);
                }
                let mut update = self.update(whole, "delegated", Some(to.id));
                update.audiences = vec![user(&to.id.to_string())];
                update.note.details = Some(text(&json!({ "to": named(to) })));
                update
            }
            HumanTaskAction::Complete(answer) => {
                assigned()?;
                check_answer(details, answer)?;
                self.complete(whole, answer)
            }
        };
        update.state = match (update.state, update.claimed_by) {
            (HumanTaskState::Completed, _) => HumanTaskState::Completed,
            (_, Some(_)) => HumanTaskState::Claimed,
            (_, None) => HumanTaskState::Open,
        };
        Ok(Some(update))
    }

    /// Tells what the person may do.
    pub(super) fn rights(&self, row: &HumanTaskRow, audiences: &[String]) -> HumanTaskRights {
        if self.check_active(row).is_err() {
            return HumanTaskRights::default();
        }
        let is_mine = self.check_assigned(row, audiences).is_ok();
        let taken = row.claimed_by.is_some();
        let manages = self.person.manages;
        HumanTaskRights {
            claim: is_mine && !taken,
            release: taken && (row.claimed_by == Some(self.person.id) || manages),
            delegate: is_mine || manages,
            complete: is_mine,
        }
    }

    /// Tells whether this very answer was given before.
    fn has_said(&self, whole: &HumanTaskWhole, answer: &HumanTaskAnswer) -> bool {
        let kept = whole.row.answer.as_deref();
        let kept: Option<Value> = kept.and_then(|text| serde_json::from_str(text).ok());
        let Some(kept) = kept.filter(|_| whole.row.state == HumanTaskState::Completed) else {
            return false;
        };
        whole.row.completed_by == Some(self.person.id)
            && kept["outcome"] == answer.outcome.as_str()
            && kept["data"] == *answer.data.as_ref().unwrap_or(&Value::Null)
            && kept["comment"].as_str() == answer.comment.as_deref()
    }

    fn check_active(&self, row: &HumanTaskRow) -> Result<(), Error> {
        let conflict = |message: &str| Err(Error::new(ErrorKind::Conflict, message));
        match row.state {
            HumanTaskState::Held => conflict("the task's execution is suspended; resume it first"),
            HumanTaskState::Completed => conflict("somebody has answered the task already"),
            HumanTaskState::Expired => conflict("nobody answered the task before its deadline"),
            HumanTaskState::Withdrawn => conflict("the task's execution went on without it"),
            HumanTaskState::Open | HumanTaskState::Claimed
                if row.deadline.is_some_and(|deadline| deadline <= self.now) =>
            {
                conflict("the task's deadline has passed")
            }
            HumanTaskState::Open | HumanTaskState::Claimed => Ok(()),
        }
    }

    /// Checks that the task is this person's: taken, or open and for the person.
    fn check_assigned(&self, row: &HumanTaskRow, audiences: &[String]) -> Result<(), Error> {
        match row.claimed_by {
            Some(by) if by == self.person.id => return Ok(()),
            Some(_) => {
                let message = "somebody else has taken the task; it has to be released first";
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            None => {}
        }
        let own = self.person.audiences();
        let is_for_me = audiences.iter().any(|one| own.contains(one));
        if is_for_me {
            return Ok(());
        }
        Err(forbidden("the task is for others"))
    }

    fn update(
        &self,
        whole: &HumanTaskWhole,
        what: &str,
        claimed_by: Option<UserId>,
    ) -> HumanTaskUpdate {
        HumanTaskUpdate {
            tenant: self.tenant,
            id: whole.row.id,
            execution: whole.row.execution,
            revision: whole.row.revision,
            state: whole.row.state,
            claimed_by,
            completed_by: None,
            answer: None,
            audiences: Vec::new(),
            note: HumanTaskNote {
                at: self.now,
                what: what.to_owned(),
                by: Some(self.person.id),
                details: None,
            },
            message: None,
        }
    }

    fn complete(&self, whole: &HumanTaskWhole, answer: &HumanTaskAnswer) -> HumanTaskUpdate {
        let mut said = Map::new();
        said.insert("outcome".to_owned(), json!(answer.outcome));
        said.insert("data".to_owned(), json!(answer.data));
        said.insert("by".to_owned(), named(self.person));
        said.insert("at".to_owned(), json!(self.now.to_string()));
        if let Some(comment) = &answer.comment {
            said.insert("comment".to_owned(), json!(comment));
        }
        let payload = text(&Value::Object(said));
        let mut update = self.update(whole, "completed", whole.row.claimed_by);
        update.state = HumanTaskState::Completed;
        update.completed_by = Some(self.person.id);
        update.note.details = Some(text(&json!({ "outcome": answer.outcome })));
        update.answer = Some(Arc::clone(&payload));
        update.message = Some(InboxMessage {
            id: whole.row.id.answer(),
            tenant: self.tenant,
            execution: whole.row.execution,
            kind: MessageKind::Answer,
            effect: Some(whole.row.effect),
            payload,
            at: self.now,
        });
        update
    }
}

/// Gives the change that the deadline is.
pub(super) fn expired(
    tenant: TenantId,
    whole: &HumanTaskWhole,
    answer: &Value,
    now: Timestamp,
) -> HumanTaskUpdate {
    HumanTaskUpdate {
        tenant,
        id: whole.row.id,
        execution: whole.row.execution,
        revision: whole.row.revision,
        state: HumanTaskState::Expired,
        claimed_by: whole.row.claimed_by,
        completed_by: None,
        answer: Some(text(answer)),
        audiences: Vec::new(),
        note: HumanTaskNote {
            at: now,
            what: "expired".to_owned(),
            by: None,
            details: None,
        },
        message: None,
    }
}

/// Checks outcome, data and comment; the places are those of the answer.
fn check_answer(details: &HumanTaskDetails, answer: &HumanTaskAnswer) -> Result<(), Error> {
    let mut wrong = Vec::new();
    let mut add = |pointer: String, message: String| wrong.push(Violation { pointer, message });
    if !details.outcomes.contains(&answer.outcome) {
        let known = details.outcomes.join(", ");
        add("/outcome".to_owned(), format!("must be one of: {known}"));
    }
    let comment = answer.comment.as_deref().unwrap_or_default();
    if COMMENT_BYTES_MAX < comment.len() {
        let message = format!("must have {COMMENT_BYTES_MAX} bytes at most");
        add("/comment".to_owned(), message);
    }
    match (&details.form, &answer.data) {
        (None, Some(data)) if !data.is_null() => {
            let message = "there is no form to fill in; leave it out";
            add("/data".to_owned(), message.to_owned());
        }
        (None, _) => {}
        (Some(form), data) => {
            let nothing = Value::Object(Map::new());
            let data = data.as_ref().unwrap_or(&nothing);
            let check = SchemaCheck::compile(form).map_err(|(_, reason)| {
                let message = "the form of a human task cannot be read";
                Error::new(ErrorKind::Corrupt, message).with("reason", reason)
            })?;
            for (pointer, message) in check.check(data).err().unwrap_or_default() {
                add(format!("/data{pointer}"), message);
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let message = "the answer is not what the task asks for";
    Err(Error::new(ErrorKind::Invalid, message).with_violations(wrong))
}

fn forbidden(message: &str) -> Error {
    Error::new(ErrorKind::Forbidden, message)
}

/// A person as answers and notes name one.
fn named(person: &Person) -> Value {
    json!({ "id": person.id.to_string(), "email": person.email.as_deref() })
}

fn text(value: &Value) -> Arc<str> {
    Arc::from(value.to_string())
}
