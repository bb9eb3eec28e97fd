//! The arguments of `call: approval`: what a person is asked.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::SchemaCheck;
use crate::expression::duration;

/// What is called.
pub(crate) const APPROVAL: &str = "approval";

/// Every argument.
pub(crate) const ARGUMENTS: [&str; 9] = [
    "title",
    "description",
    "form",
    "data",
    "outcomes",
    "assignees",
    "deadline",
    "deadline_outcome",
    "escalation",
];

/// Characters of a title.
const TITLE_LENGTH_MAX: usize = 200;
/// Bytes of a description.
const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a form's schema.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// Outcomes to choose from.
const OUTCOMES_MAX: usize = 10;
/// Characters of an outcome.
const OUTCOME_LENGTH_MAX: usize = 50;
/// People and roles that one task is for.
const ASSIGNEES_MAX: usize = 100;
/// Bytes of an e-mail address, an id or a role.
const ASSIGNEE_BYTES_MAX: usize = 320;

/// What `approval` takes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalArguments {
    /// What is to be decided or done: one line.
    pub title: String,
    /// What one has to know for it.
    #[serde(default)]
    pub description: Option<String>,
    /// The JSON Schema of what is to be filled in, of type `object`.
    #[serde(default)]
    pub form: Option<Value>,
    /// What the person is shown.
    #[serde(default)]
    pub data: Option<Value>,
    /// What may come of it; `approved` and `rejected` unless others are named.
    #[serde(default)]
    pub outcomes: Option<Vec<String>>,
    /// Who may answer; everybody of the tenant unless somebody is named.
    #[serde(default)]
    pub assignees: Option<Assignees>,
    /// For how long it may be answered, as ISO 8601 text or object of units.
    #[serde(default)]
    pub deadline: Option<Value>,
    /// The outcome at the deadline; without one the task ends with a time-out error.
    #[serde(default)]
    pub deadline_outcome: Option<String>,
    /// Who else may answer after a while.
    #[serde(default)]
    pub escalation: Option<Escalation>,
}

/// People, by id or e-mail address, and roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Assignees {
    /// Ids or e-mail addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Names of roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// Who else may answer, and when.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// After how long, as ISO 8601 text or object of units.
    pub after: Value,
    /// Who.
    pub to: Assignees,
}

/// Why arguments are not taken: the JSON pointer of the place in them, and the reason.
pub(crate) type Wrong = (&'static str, String);

impl ApprovalArguments {
    /// Reads and checks arguments without expressions.
    pub(crate) fn read(value: Value) -> Result<Self, Wrong> {
        let read: Self = serde_json::from_value(value).map_err(|error| ("", error.to_string()))?;
        read.check()?;
        Ok(read)
    }

    /// Gives what may come of it.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        match &self.outcomes {
            Some(outcomes) => outcomes.clone(),
            None => vec!["approved".to_owned(), "rejected".to_owned()],
        }
    }

    fn check(&self) -> Result<(), Wrong> {
        let title = self.title.trim();
        if title.is_empty() || TITLE_LENGTH_MAX < title.chars().count() {
            let message = format!("a title has 1 to {TITLE_LENGTH_MAX} characters");
            return Err(("/title", message));
        }
        if title.contains(char::is_control) {
            return Err(("/title", "a title is one line".to_owned()));
        }
        let description = self.description.as_deref().unwrap_or_default();
        if DESCRIPTION_BYTES_MAX < description.len() {
            let message = format!("a description has {DESCRIPTION_BYTES_MAX} bytes at most");
            return Err(("/description", message));
        }
        self.check_outcomes()?;
        let after = self.escalation.as_ref().map(|escalation| &escalation.after);
        let lengths = [
            ("/deadline", self.deadline.as_ref()),
            ("/escalation/after", after),
        ];
        for (pointer, length) in lengths {
            if let Some(length) = length
                && let Err(error) = duration::from_value(length)
            {
                return Err((pointer, error.to_string()));
            }
        }
        if let Some(form) = &self.form {
            check_form(form).map_err(|message| ("/form", message))?;
        }
        if let Some(assignees) = &self.assignees {
            assignees
                .check()
                .map_err(|message| ("/assignees", message))?;
        }
        if let Some(escalation) = &self.escalation {
            let to = &escalation.to;
            to.check().map_err(|message| ("/escalation/to", message))?;
            if to.is_empty() {
                return Err(("/escalation/to", "names nobody".to_owned()));
            }
        }
        Ok(())
    }

    fn check_outcomes(&self) -> Result<(), Wrong> {
        let outcomes = self.outcomes();
        if outcomes.is_empty() || OUTCOMES_MAX < outcomes.len() {
            let message = format!("there are 1 to {OUTCOMES_MAX} outcomes");
            return Err(("/outcomes", message));
        }
        let mut seen = HashSet::new();
        for outcome in &outcomes {
            let length = outcome.chars().count();
            if length == 0 || OUTCOME_LENGTH_MAX < length || outcome.contains(char::is_control) {
                let message =
                    format!("an outcome is one line of 1 to {OUTCOME_LENGTH_MAX} characters");
                return Err(("/outcomes", message));
            }
            if !seen.insert(outcome) {
                return Err(("/outcomes", format!("{outcome:?} stands there twice")));
            }
        }
        match &self.deadline_outcome {
            Some(_) if self.deadline.is_none() => {
                let message = "there is no deadline; say how long with `deadline`";
                Err(("/deadline_outcome", message.to_owned()))
            }
            Some(outcome) if !outcomes.contains(outcome) => {
                let message = format!("{outcome:?} is none of the outcomes");
                Err(("/deadline_outcome", message))
            }
            _ => Ok(()),
        }
    }
}

impl Assignees {
    /// Tells whether nobody is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.roles.is_empty()
    }

    fn check(&self) -> Result<(), String> {
        if ASSIGNEES_MAX < self.users.len() + self.roles.len() {
            return Err(format!(
                "names more than {ASSIGNEES_MAX} people and roles; name a role instead"
            ));
        }
        let names = self.users.iter().chain(&self.roles);
        for name in names {
            let wrong = name.trim().is_empty() || name.contains(char::is_control);
            if wrong || ASSIGNEE_BYTES_MAX < name.len() {
                return Err(format!(
                    "{name:?} is no name: it has 1 to {ASSIGNEE_BYTES_MAX} bytes and is one line"
                ));
            }
        }
        Ok(())
    }
}

/// Checks that a form is a schema for an object.
fn check_form(form: &Value) -> Result<(), String> {
    if FORM_BYTES_MAX < form.to_string().len() {
        return Err(format!("a form has {FORM_BYTES_MAX} bytes of JSON at most"));
    }
    if form.get("type").and_then(Value::as_str) != Some("object") {
        return Err("a form is a JSON Schema with `type: object`".to_owned());
    }
    match SchemaCheck::compile(form) {
        Ok(_) => Ok(()),
        Err((pointer, reason)) => Err(format!("is no JSON Schema: {pointer}: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_checked_with_their_place() {
        let whole = json!({
            "title": "Pay?", "outcomes": ["pay", "wait"], "deadline": "P1D",
            "deadline_outcome": "wait", "assignees": {"roles": ["admin"]},
            "escalation": {"after": "PT1H", "to": {"users": ["ada@example.com"]}},
            "form": {"type": "object", "properties": {"amount": {"type": "number"}}},
        });
        let changed = |name: &str, value: Value| {
            let mut changed = whole.clone();
            changed[name] = value;
            ApprovalArguments::read(changed).map_err(|(pointer, _)| pointer)
        };
        assert!(changed("title", json!("Pay?")).is_ok());
        for (name, value, pointer) in [
            ("title", json!(" "), "/title"),
            ("title", json!("two\nlines"), "/title"),
            ("titel", json!("x"), ""),
            ("outcomes", json!([]), "/outcomes"),
            ("outcomes", json!(["pay", "pay"]), "/outcomes"),
            ("deadline_outcome", json!("other"), "/deadline_outcome"),
            ("deadline", Value::Null, "/deadline_outcome"),
            ("form", json!({"type": "string"}), "/form"),
            ("form", json!({"type": "object", "required": 1}), "/form"),
            ("assignees", json!({"users": [""]}), "/assignees"),
            (
                "escalation",
                json!({"after": "PT1H", "to": {}}),
                "/escalation/to",
            ),
        ] {
            assert_eq!(changed(name, value.clone()), Err(pointer), "{name} {value}");
        }
    }
}
