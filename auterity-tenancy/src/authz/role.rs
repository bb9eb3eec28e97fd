use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a member is within one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Made the tenant, and may also delete it.
    Owner,
    /// Manages members and settings.
    Admin,
    /// Writes workflows.
    Editor,
    /// Starts and cancels executions.
    Operator,
    /// Looks on.
    Viewer,
}

impl Role {
    /// All roles, the most powerful first.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Admin,
        Self::Editor,
        Self::Operator,
        Self::Viewer,
    ];

    /// Gives the role's name as APIs and stores spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Editor => "editor",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| crate::error::Error::internal("a stored role is unknown"))
    }
}
