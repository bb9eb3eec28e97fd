use auterity_core::{SessionId, TenantId, UserId};
use jiff::Timestamp;

use super::Role;

/// Somebody whose access token was verified. Only
/// [`Identity::authenticate`](crate::Identity::authenticate) makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub(crate) user: UserId,
    pub(crate) tenant: TenantId,
    pub(crate) session: SessionId,
    pub(crate) role: Role,
    pub(crate) expires_at: Timestamp,
}

impl Principal {
    /// Gives the person.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Gives the tenant that the person works in.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Gives the login session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Gives the role in the tenant at the time the token was issued.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Gives the time at which the token ends, for connections that outlive it.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}
