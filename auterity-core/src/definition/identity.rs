//! What names a definition.

use std::fmt;

use sha2::{Digest, Sha256};

use super::externals::Externals;

/// The SHA-256 of a definition's text: what an execution is pinned to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramHash([u8; 32]);

impl ProgramHash {
    /// Hashes a definition's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Hashes a definition's text together with what it takes from elsewhere.
    #[must_use]
    pub fn of_all(text: &str, externals: Option<&Externals>) -> Self {
        match externals.filter(|externals| !externals.is_empty()) {
            None => Self::of(text),
            Some(externals) => {
                let externals = serde_json::json!(externals).to_string();
                let mut hash = Sha256::new();
                hash.update(text.as_bytes());
                hash.update([0]);
                hash.update(externals.as_bytes());
                Self(hash.finalize().into())
            }
        }
    }

    /// Takes over a hash that was computed before, as a store does.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Gives the 32 bytes, as a store writes them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ProgramHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(out, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ProgramHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Names a workflow and one version of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct WorkflowRef {
    /// The namespace that groups workflows.
    pub namespace: String,
    /// The name, unique in its namespace.
    pub name: String,
    /// The semantic version.
    pub version: String,
}
