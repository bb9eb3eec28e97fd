use auterity_core::{TenantId, UserId};
use jiff::Timestamp;
use serde::Serialize;

use crate::authn::session::Tokens;
use crate::authz::Role;
use crate::error::Error;
use crate::store::entity::{tenant, user};
use crate::store::from_micros;

/// A person who can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The person's id.
    pub id: UserId,
    /// The address, in lower case.
    pub email: String,
    /// When the person signed up.
    pub created_at: Timestamp,
}

/// A customer of the host, with data of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// The tenant's id.
    pub id: TenantId,
    /// The display name.
    pub name: String,
    /// The short name.
    pub slug: String,
    /// When the tenant was made.
    pub created_at: Timestamp,
}

/// The answer to a sign-up or sign-in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who signed in.
    pub user: User,
    /// Where.
    pub tenant: Tenant,
    /// As what.
    pub role: Role,
    /// What the client needs from now on.
    pub tokens: Tokens,
}

/// Who a principal is, as stored now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Me {
    /// The person.
    pub user: User,
    /// The tenant the session works in.
    pub tenant: Tenant,
    /// The role in it.
    pub role: Role,
}

pub(super) fn user_of(row: user::Model) -> Result<User, Error> {
    Ok(User {
        id: UserId::from_uuid(row.id),
        email: row.email,
        created_at: from_micros(row.created_at)?,
    })
}

pub(super) fn tenant_of(row: tenant::Model) -> Result<Tenant, Error> {
    Ok(Tenant {
        id: TenantId::from_uuid(row.id),
        name: row.name,
        slug: row.slug,
        created_at: from_micros(row.created_at)?,
    })
}
