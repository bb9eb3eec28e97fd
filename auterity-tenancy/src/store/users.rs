use auterity_core::{TenantId, UserId};
use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    SqlErr,
};

use super::entity::{membership, tenant, user};
use super::to_micros;
use crate::authz::Role;
use crate::connection::database_error;
use crate::error::{Error, ErrorKind};

/// What sign-up writes.
pub(crate) struct NewAccount {
    pub(crate) user: UserId,
    pub(crate) email: String,
    pub(crate) password_hash: String,
    pub(crate) tenant: TenantId,
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) at: Timestamp,
}

/// Writes a user, a tenant and the owner's membership.
pub(crate) async fn account_insert_in_tx(
    tx: &DatabaseTransaction,
    account: NewAccount,
) -> Result<(user::Model, tenant::Model, membership::Model), Error> {
    let at = to_micros(account.at);
    let user = user::Model {
        id: account.user.as_uuid(),
        email: account.email,
        password_hash: user::PasswordHash(account.password_hash),
        created_at: at,
    };
    let tenant = tenant::Model {
        id: account.tenant.as_uuid(),
        slug: account.slug,
        name: account.name,
        created_at: at,
    };
    let membership = membership::Model {
        user_id: user.id,
        tenant_id: tenant.id,
        role: Role::Owner.name().to_owned(),
        created_at: at,
    };
    user::Entity::insert(user::ActiveModel::from(user.clone()))
        .exec_without_returning(tx)
        .await
        .map_err(taken)?;
    tenant::Entity::insert(tenant::ActiveModel::from(tenant.clone()))
        .exec_without_returning(tx)
        .await
        .map_err(taken)?;
    membership::Entity::insert(membership::ActiveModel::from(membership.clone()))
        .exec_without_returning(tx)
        .await
        .map_err(database_error)?;
    Ok((user, tenant, membership))
}

pub(crate) async fn user_by_email(
    tx: &DatabaseTransaction,
    email: &str,
) -> Result<Option<user::Model>, Error> {
    user::Entity::find()
        .filter(user::Column::Email.eq(email))
        .one(tx)
        .await
        .map_err(database_error)
}

pub(crate) async fn user_fetch(
    tx: &DatabaseTransaction,
    id: UserId,
) -> Result<Option<user::Model>, Error> {
    user::Entity::find_by_id(id.as_uuid())
        .one(tx)
        .await
        .map_err(database_error)
}

pub(crate) async fn slug_exists(tx: &DatabaseTransaction, slug: &str) -> Result<bool, Error> {
    let tenant = tenant::Entity::find()
        .filter(tenant::Column::Slug.eq(slug))
        .one(tx)
        .await
        .map_err(database_error)?;
    Ok(tenant.is_some())
}

/// Replaces a password hash unless somebody else has done so since it was read.
pub(crate) async fn password_replace_in_tx(
    tx: &DatabaseTransaction,
    id: UserId,
    old: &user::PasswordHash,
    new: String,
) -> Result<(), Error> {
    user::Entity::update_many()
        .set(user::ActiveModel {
            password_hash: Set(user::PasswordHash(new)),
            ..Default::default()
        })
        .filter(user::Column::Id.eq(id.as_uuid()))
        .filter(user::Column::PasswordHash.eq(old.clone()))
        .exec(tx)
        .await
        .map(drop)
        .map_err(database_error)
}

/// Gives the membership in the named tenant, or the oldest one if none is named.
pub(crate) async fn membership_choose(
    tx: &DatabaseTransaction,
    user: UserId,
    slug: Option<&str>,
) -> Result<Option<(membership::Model, tenant::Model)>, Error> {
    let mut query = membership::Entity::find()
        .find_also_related(tenant::Entity)
        .filter(membership::Column::UserId.eq(user.as_uuid()));
    if let Some(slug) = slug {
        query = query.filter(tenant::Column::Slug.eq(slug));
    }
    let row = query
        .order_by_asc(membership::Column::CreatedAt)
        .order_by_asc(membership::Column::TenantId)
        .one(tx)
        .await
        .map_err(database_error)?;
    Ok(row.and_then(|(membership, tenant)| tenant.map(|tenant| (membership, tenant))))
}

pub(crate) async fn membership_fetch(
    tx: &DatabaseTransaction,
    user: UserId,
    tenant: TenantId,
) -> Result<Option<(membership::Model, tenant::Model)>, Error> {
    let row = membership::Entity::find_by_id((user.as_uuid(), tenant.as_uuid()))
        .find_also_related(tenant::Entity)
        .one(tx)
        .await
        .map_err(database_error)?;
    Ok(row.and_then(|(membership, tenant)| tenant.map(|tenant| (membership, tenant))))
}

/// Gives the memberships of these people in a tenant.
pub(crate) async fn members_fetch(
    tx: &DatabaseTransaction,
    tenant: TenantId,
    ids: &[UserId],
) -> Result<Vec<(membership::Model, user::Model)>, Error> {
    let ids: Vec<_> = ids.iter().map(|id| id.as_uuid()).collect();
    let memberships = membership::Entity::find()
        .filter(membership::Column::TenantId.eq(tenant.as_uuid()))
        .filter(membership::Column::UserId.is_in(ids))
        .all(tx)
        .await
        .map_err(database_error)?;
    let known = memberships.iter().map(|membership| membership.user_id);
    let mut users = user::Entity::find()
        .filter(user::Column::Id.is_in(known))
        .all(tx)
        .await
        .map_err(database_error)?;
    let mut found = Vec::new();
    for membership in memberships {
        let place = users.iter().position(|user| user.id == membership.user_id);
        if let Some(place) = place {
            found.push((membership, users.swap_remove(place)));
        }
    }
    Ok(found)
}

/// Makes the error of a sign-up that lost the race for an address or a slug.
fn taken(source: sea_orm::DbErr) -> Error {
    match source.sql_err() {
        // PostgreSQL names the constraint, SQLite the column; both hold these words.
        Some(SqlErr::UniqueConstraintViolation(text)) if text.contains("email") => email_taken(),
        Some(SqlErr::UniqueConstraintViolation(text)) if text.contains("slug") => slug_taken(),
        Some(_) | None => database_error(source),
    }
}

pub(crate) fn email_taken() -> Error {
    Error::new(
        ErrorKind::Conflict { field: "email" },
        "an account with this email address exists; sign in instead",
    )
}

pub(crate) fn slug_taken() -> Error {
    Error::new(
        ErrorKind::Conflict { field: "slug" },
        "a tenant with this slug exists; choose another",
    )
}
