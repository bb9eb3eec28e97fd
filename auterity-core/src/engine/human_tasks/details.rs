//! What is said of a human task, and whom it is for.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::Assignees;
use crate::interpreter::HumanTask;
use crate::store::HumanTaskRow;
use crate::{Error, ErrorKind, UserId};

/// Everybody of the tenant.
const ANYONE: &str = "anyone";

/// What a person has to know to answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HumanTaskDetails {
    /// What one has to know for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON Schema of what is to be filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Value>,
    /// What is to be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// What may come of it.
    pub outcomes: Vec<String>,
    /// Whom the definition names.
    pub assignees: Assignees,
    /// The outcome at the deadline; without one it is a time-out error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_outcome: Option<String>,
    /// When others are to be asked too, if that was still to come when it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_at: Option<Timestamp>,
    /// Who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_to: Option<Assignees>,
}

impl HumanTaskDetails {
    pub(super) fn of(human_task: &HumanTask) -> Self {
        Self {
            description: human_task.description.clone(),
            form: human_task.form.clone(),
            data: human_task.data.clone(),
            outcomes: human_task.outcomes.clone(),
            assignees: human_task.assignees.clone(),
            deadline_outcome: human_task.deadline_outcome.clone(),
            escalate_at: human_task.escalate_at,
            escalate_to: human_task.escalate_to.clone(),
        }
    }

    /// Reads what a row holds.
    pub(super) fn read(row: &HumanTaskRow) -> Result<Self, Error> {
        let text = row.details.as_deref().unwrap_or_default();
        serde_json::from_str(text).map_err(|error| {
            let message = "what is kept of a human task cannot be read";
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })
    }
}

/// Somebody who works on human tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who it is.
    pub id: UserId,
    /// The e-mail address.
    pub email: Option<Arc<str>>,
    /// The names of the roles that the person has.
    pub roles: Vec<String>,
    /// Whether the person may hand on and release what others have taken.
    pub manages: bool,
}

impl Person {
    /// Gives the audiences that the person belongs to.
    #[must_use]
    pub fn audiences(&self) -> Vec<String> {
        let mut audiences = vec![ANYONE.to_owned(), user(&self.id.to_string())];
        audiences.extend(self.email.as_deref().map(user));
        audiences.extend(self.roles.iter().map(|name| role(name)));
        audiences
    }
}

/// Gives the audiences that are these people and roles; everybody if nobody is named.
pub(super) fn audiences(assignees: &Assignees) -> Vec<String> {
    if assignees.is_empty() {
        return vec![ANYONE.to_owned()];
    }
    let users = assignees.users.iter().map(|name| user(name));
    let roles = assignees.roles.iter().map(|name| role(name));
    let mut audiences: Vec<String> = users.chain(roles).collect();
    audiences.sort_unstable();
    audiences.dedup();
    audiences
}

/// The audience that is one person, by id or e-mail address.
pub(super) fn user(name: &str) -> String {
    format!("user:{}", name.trim().to_lowercase())
}

fn role(name: &str) -> String {
    format!("role:{}", name.trim().to_lowercase())
}
