//! Who belongs to a tenant.

use auterity_core::{Scope, UserId};

use super::service::Identity;
use crate::authz::Role;
use crate::error::Error;
use crate::store::entity::{membership, user};
use crate::store::users;

/// Somebody who belongs to a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The person.
    pub id: UserId,
    /// The address, in lower case.
    pub email: String,
    /// What the person is in the tenant.
    pub role: Role,
}

impl Identity {
    /// Finds those of these people who belong to the scope's tenant.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn members(&self, scope: &Scope, ids: &[UserId]) -> Result<Vec<Member>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (tenant, ids) = (scope.tenant(), ids.to_vec());
        let found = self.inner.db.read("identity.members", move |tx| {
            Box::pin(async move { users::members_fetch(tx, tenant, &ids).await })
        });
        found.await?.into_iter().map(member_of).collect()
    }

    /// Finds a member of the scope's tenant by id or e-mail address.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn member(&self, scope: &Scope, who: &str) -> Result<Option<Member>, Error> {
        let tenant = scope.tenant();
        let (id, email) = (who.parse::<UserId>().ok(), who.trim().to_lowercase());
        let found = self.inner.db.read("identity.member", move |tx| {
            Box::pin(async move {
                let id = match id {
                    Some(id) => Some(id),
                    None => {
                        let found = users::user_by_email(tx, &email).await?;
                        found.map(|found| UserId::from_uuid(found.id))
                    }
                };
                let ids: Vec<UserId> = id.into_iter().collect();
                users::members_fetch(tx, tenant, &ids).await
            })
        });
        found.await?.pop().map(member_of).transpose()
    }
}

fn member_of((membership, user): (membership::Model, user::Model)) -> Result<Member, Error> {
    Ok(Member {
        id: UserId::from_uuid(user.id),
        email: user.email,
        role: membership.role.parse()?,
    })
}
