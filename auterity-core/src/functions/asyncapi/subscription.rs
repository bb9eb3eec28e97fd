//! Messages, and which of them a subscription wants.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::wrong;
use crate::clock::{Clock, SystemClock};
use crate::expression::{Budget, Expression, Variables};
use crate::functions::duration;
use crate::interpreter::{Problem, ProblemKind};

/// A message.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) payload: Value,
    pub(super) headers: Map<String, Value>,
}

impl Message {
    /// Reads what a definition wants to publish.
    pub(super) fn read(message: Option<&Value>) -> Self {
        let part = |name: &str| message.and_then(|message| message.get(name));
        Self {
            payload: part("payload").cloned().unwrap_or_default(),
            headers: part("headers")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default(),
        }
    }

    /// Reads a body: JSON, or else a text.
    pub(super) fn received(body: &str, headers: Map<String, Value>) -> Self {
        let payload = serde_json::from_str(body);
        Self {
            payload: payload.unwrap_or_else(|_| Value::String(body.to_owned())),
            headers,
        }
    }

    /// Gives the value at a location such as `$message.payload#/user/id`.
    pub(super) fn at(&self, location: &str) -> Option<&Value> {
        if let Some(pointer) = location.strip_prefix("$message.payload#") {
            return self.payload.pointer(pointer);
        }
        let name = location.strip_prefix("$message.header#/")?;
        self.headers.get(name)
    }

    fn to_value(&self) -> Value {
        let mut value = json!({ "payload": self.payload, "headers": self.headers });
        let id = self.headers.iter().find(|(name, _)| {
            name.eq_ignore_ascii_case("correlationId")
                || name.eq_ignore_ascii_case("correlation-id")
        });
        if let Some((_, id)) = id {
            value["correlationId"] = id.clone();
        }
        value
    }
}

/// An expression of the definition with the variables that it uses.
struct Deferred {
    expression: Expression,
    variables: Variables,
}

impl Deferred {
    /// Reads `{ source, variables }`, as the engine hands over what is evaluated later.
    fn read(value: &Value, name: &str) -> Result<Self, Problem> {
        let bad = || wrong(format!("'{name}' of the subscription is no expression"));
        let none = Map::new();
        let source = value
            .get("source")
            .and_then(Value::as_str)
            .ok_or_else(bad)?;
        let given = value
            .get("variables")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        let names: Vec<String> = given.keys().cloned().collect();
        let expression = Expression::compile(source, &names).map_err(|_| bad())?;
        let mut variables = Variables::new(SystemClock.now());
        for (name, value) in given {
            variables.set(name, Arc::new(value.clone()));
        }
        Ok(Self {
            expression,
            variables,
        })
    }

    fn holds(&self, input: &Value) -> Result<bool, Problem> {
        self.expression
            .holds(input, &self.variables, &Budget::default())
            .map_err(|error| Problem::new(ProblemKind::Expression, error.to_string()))
    }
}

/// When there are enough messages.
enum Enough {
    Amount(usize),
    While(Deferred),
    Until(Deferred),
}

/// What a subscription wants, and what it has got.
pub(super) struct Consumption {
    filter: Option<Deferred>,
    enough: Enough,
    /// The subscription's own end.
    pub(super) time: Option<Duration>,
    messages: Vec<Value>,
    messages_max: usize,
}

impl Consumption {
    pub(super) fn read(subscription: &Value, messages_max: usize) -> Result<Self, Problem> {
        let part =
            |holder: &Value, name: &str| holder.get(name).filter(|value| !value.is_null()).cloned();
        let consume = part(subscription, "consume")
            .ok_or_else(|| wrong("a subscription needs the object 'consume'"))?;
        let filter = part(subscription, "filter");
        let filter = filter
            .map(|filter| Deferred::read(&filter, "filter"))
            .transpose()?;
        let enough = if let Some(amount) = part(&consume, "amount") {
            let amount = amount
                .as_u64()
                .and_then(|amount| usize::try_from(amount).ok());
            let amount = amount.filter(|amount| (1..=messages_max).contains(amount));
            Enough::Amount(amount.ok_or_else(|| {
                wrong(format!(
                    "'amount' of the subscription must be from 1 to {messages_max}"
                ))
            })?)
        } else if let Some(condition) = part(&consume, "while") {
            Enough::While(Deferred::read(&condition, "while")?)
        } else if let Some(condition) = part(&consume, "until") {
            Enough::Until(Deferred::read(&condition, "until")?)
        } else {
            return Err(wrong("a subscription needs 'amount', 'while' or 'until'"));
        };
        let time = match part(&consume, "for") {
            Some(time) => Some(
                duration::read(&time)
                    .ok_or_else(|| wrong("'for' of the subscription is no positive duration"))?,
            ),
            None => None,
        };
        Ok(Self {
            filter,
            enough,
            time,
            messages: Vec::new(),
            messages_max,
        })
    }

    /// Takes a message; tells whether it was the last that is wanted.
    pub(super) fn take(&mut self, message: &Message) -> Result<bool, Problem> {
        let message = message.to_value();
        if let Some(filter) = &self.filter
            && !filter.holds(&message)?
        {
            return Ok(false);
        }
        if self.messages_max <= self.messages.len() {
            let detail = format!(
                "the subscription consumed {} messages without an end",
                self.messages_max
            );
            return Err(Problem::new(ProblemKind::Runtime, detail));
        }
        self.messages.push(message);
        match &self.enough {
            Enough::Amount(amount) => Ok(*amount <= self.messages.len()),
            Enough::While(condition) => Ok(!condition.holds(&Value::Array(self.messages.clone()))?),
            Enough::Until(condition) => condition.holds(&Value::Array(self.messages.clone())),
        }
    }

    pub(super) fn into_messages(self) -> Value {
        Value::Array(self.messages)
    }
}
