//! `approval`: what is known about it. The interpreter does it: nothing is called while an
//! execution waits for a person.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::typed::Types;
use super::{Durability, FunctionInfo, Signature};
use crate::definition::ApprovalArguments;

/// What a human task gives.
#[derive(Debug, Serialize, JsonSchema)]
struct Answer {
    /// What came of it.
    outcome: String,
    /// What was filled into the form.
    data: Option<Value>,
    /// Who answered; null at the deadline.
    by: Option<By>,
    /// When, as RFC 3339 text.
    at: String,
    /// What else the person had to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// Who answered.
#[derive(Debug, Serialize, JsonSchema)]
struct By {
    /// The person's id.
    id: String,
    /// The e-mail address at that time.
    email: Option<String>,
}

/// Tells what is known about the function.
pub(crate) fn approval() -> FunctionInfo {
    FunctionInfo {
        name: crate::definition::APPROVAL.to_owned(),
        version: "1.0.0".to_owned(),
        signature: Signature {
            description: Some("Asks a person, and waits for the answer.".to_owned()),
            ..Types::of::<ApprovalArguments, Answer>().signature
        },
        durability: Durability::Strict,
        transactional: false,
        timeout: None,
        heartbeat: None,
    }
}
