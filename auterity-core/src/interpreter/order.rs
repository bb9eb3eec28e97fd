//! Who asked for something to be done to an execution.

use serde::{Deserialize, Serialize};

use crate::{Actor, InboxId};

/// Something that was asked for from outside: by whom, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The message that brought it, so that the asker finds what came of it.
    pub id: InboxId,
    /// Who asked.
    pub by: Actor,
    /// Why, if they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
