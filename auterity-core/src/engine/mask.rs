//! Takes secrets out of what a call gives back, before it becomes an event.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::interpreter::Problem;

/// What stands in place of a secret.
const MASKED: &str = "[secret]";
/// Shorter texts are words like any others: to replace them would damage results.
const LENGTH_MIN: usize = 8;

/// The texts that a call may have been given as secrets. Nothing for most calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Mask {
    texts: Option<Arc<[String]>>,
}

impl Mask {
    /// Takes the texts of all secrets of a definition.
    pub(super) fn of(secrets: &Value) -> Self {
        let mut texts = Vec::new();
        collect(secrets, &mut texts);
        // A text that holds another one is replaced as a whole.
        texts.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        texts.dedup();
        Self {
            texts: (!texts.is_empty()).then(|| texts.into()),
        }
    }

    /// Gives a result without the secrets.
    pub(super) fn result(&self, result: Result<Value, Problem>) -> Result<Value, Problem> {
        if self.texts.is_none() {
            return result;
        }
        match result {
            Ok(value) => Ok(self.value(value)),
            Err(problem) => Err(Problem {
                kind: self.text(problem.kind),
                title: problem.title.map(|text| self.text(text)),
                detail: problem.detail.map(|text| self.text(text)),
                instance: problem.instance.map(|text| self.text(text)),
                status: problem.status,
            }),
        }
    }

    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                let members = members.into_iter();
                let masked = members.map(|(name, member)| (self.text(name), self.value(member)));
                Value::Object(masked.collect::<Map<String, Value>>())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    fn text(&self, text: String) -> String {
        let mut text = text;
        for secret in self.texts.iter().flat_map(|texts| texts.iter()) {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASKED);
            }
        }
        text
    }
}

fn collect(secrets: &Value, into: &mut Vec<String>) {
    match secrets {
        Value::String(text) if LENGTH_MIN <= text.len() => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(members) => members.values().for_each(|member| collect(member, into)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::interpreter::ProblemKind;

    #[test]
    fn secrets_are_taken_out_wherever_a_text_holds_them() {
        let secrets = json!({
            "token": "canary-5417",
            "crm": { "user": "ada", "keys": ["canary-5417-long", 12_345_678] },
        });
        let mask = Mask::of(&secrets);
        let given = json!({
            "exact": "canary-5417",
            "inside": ["Bearer canary-5417!", "canary-5417-long"],
            "canary-5417": { "user": "ada", "number": 12_345_678 },
        });
        let kept = json!({
            "exact": "[secret]",
            "inside": ["Bearer [secret]!", "[secret]"],
            "[secret]": { "user": "ada", "number": 12_345_678 },
        });
        assert_eq!(mask.result(Ok(given)), Ok(kept));
        let problem = Problem::new(ProblemKind::Communication, "refused canary-5417");
        let kept = Problem::new(ProblemKind::Communication, "refused [secret]");
        assert_eq!(mask.result(Err(problem)), Err(kept));
    }

    #[test]
    fn results_without_secrets_stay_as_they_are() {
        let value = json!({ "a": ["short", 1, null], "b": { "c": "longer than eight" } });
        for secrets in [
            json!({}),
            json!({ "pin": "short" }),
            json!({ "k": "not in there" }),
        ] {
            assert_eq!(
                Mask::of(&secrets).result(Ok(value.clone())),
                Ok(value.clone())
            );
        }
    }
}
