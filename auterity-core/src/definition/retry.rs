//! Retry policies.

use serde_json::{Map, Value};

use super::parse::Node;
use super::record::{Closed, Open, Part, Reader, record};
use super::timeout::Duration;
use super::union::one_of;

record! {
    /// When and how to try again.
    RetryPolicy: Closed, "a retry policy" {
        optional when: String = "when",
        optional except_when: String = "exceptWhen",
        optional delay: Duration = "delay",
        optional backoff: Backoff = "backoff",
        optional limit: RetryLimit = "limit",
        optional jitter: Jitter = "jitter",
    }
}

record! {
    /// When to stop trying.
    RetryLimit: Closed, "the retry limit" {
        optional attempt: AttemptLimit = "attempt",
        optional duration: Duration = "duration",
    }
}

record! {
    /// How many attempts there may be, and how long each.
    AttemptLimit: Closed, "the attempt limit" {
        optional count: i64 = "count",
        optional duration: Duration = "duration",
    }
}

record! {
    /// The bounds of a random addition to the delay.
    Jitter: Closed, "the jitter" {
        required from: Duration = "from",
        required to: Duration = "to",
    }
}

/// How the delay grows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Backoff {
    Constant(Map<String, Value>),
    Exponential(ExponentialBackoff),
    Linear(LinearBackoff),
}

record! {
    /// The delay is multiplied each time; the standard leaves the properties open.
    ExponentialBackoff: Open, "the backoff" {
        optional factor: Factor = "factor",
        optional delay_max: Duration = "maxDelay",
    }
}

record! {
    /// Something is added to the delay each time.
    LinearBackoff: Open, "the backoff" {
        optional increment: Duration = "increment",
    }
}

/// What a delay is multiplied by: a number of at least 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factor(pub(crate) serde_json::Number);

impl Part for Factor {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Value::Number(number) = node.to_value() else {
            reader.wrong_type("a number", node);
            return None;
        };
        if number.as_f64().is_some_and(|factor| factor < 1.0) {
            let message = format!("the factor {number} makes the delay shrink");
            reader.report(
                "out_of_range",
                message,
                "use a number of at least 1, such as 2",
            );
            return None;
        }
        Some(Self(number))
    }

    fn write(&self) -> Value {
        Value::Number(self.0.clone())
    }
}

impl Part for Backoff {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "the backoff")?;
        let backoff = match one_of(&mut fields, &["constant", "exponential", "linear"]) {
            Some("constant") => fields.optional("constant").map(Self::Constant),
            Some("exponential") => fields.optional("exponential").map(Self::Exponential),
            Some(_) => fields.optional("linear").map(Self::Linear),
            None => return None,
        };
        fields.close();
        backoff
    }

    fn write(&self) -> Value {
        let (name, value) = match self {
            Self::Constant(part) => ("constant", part.write()),
            Self::Exponential(part) => ("exponential", part.write()),
            Self::Linear(part) => ("linear", part.write()),
        };
        let mut object = Map::new();
        object.insert(name.to_owned(), value);
        Value::Object(object)
    }
}
