use auterity_core::{SessionId, TenantId, UserId};
use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
};

use super::entity::{refresh_token, session};
use super::to_micros;
use crate::connection::database_error;
use crate::error::Error;

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    SignOut,
    SignOutEverywhere,
    TokenReuse,
}

impl Revocation {
    fn name(self) -> &'static str {
        match self {
            Self::SignOut => "sign_out",
            Self::SignOutEverywhere => "sign_out_everywhere",
            Self::TokenReuse => "token_reuse",
        }
    }
}

/// What a sign-in writes.
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) tenant: TenantId,
    pub(crate) token_hash: [u8; 32],
    pub(crate) at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) idle_expires_at: Timestamp,
}

pub(crate) async fn session_insert_in_tx(
    tx: &DatabaseTransaction,
    new: NewSession,
) -> Result<(), Error> {
    let session = session::Model {
        id: new.id.as_uuid(),
        user_id: new.user.as_uuid(),
        tenant_id: new.tenant.as_uuid(),
        generation: 0,
        created_at: to_micros(new.at),
        expires_at: to_micros(new.expires_at),
        idle_expires_at: to_micros(new.idle_expires_at),
        revoked_at: None,
        revoked_for: None,
    };
    session::Entity::insert(session::ActiveModel::from(session))
        .exec_without_returning(tx)
        .await
        .map_err(database_error)?;
    token_insert_in_tx(tx, new.id, 0, new.token_hash).await
}

async fn token_insert_in_tx(
    tx: &DatabaseTransaction,
    session: SessionId,
    generation: i32,
    hash: [u8; 32],
) -> Result<(), Error> {
    let token = refresh_token::Model {
        hash: hash.to_vec(),
        session_id: session.as_uuid(),
        generation,
        used_at: None,
    };
    refresh_token::Entity::insert(refresh_token::ActiveModel::from(token))
        .exec_without_returning(tx)
        .await
        .map(drop)
        .map_err(database_error)
}

/// Removes a member's sessions beyond the newest `keep`.
pub(crate) async fn sessions_trim_in_tx(
    tx: &DatabaseTransaction,
    user: UserId,
    tenant: TenantId,
    keep: u64,
) -> Result<(), Error> {
    let kept = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(of_member(user, tenant))
        .order_by_desc(session::Column::CreatedAt)
        .order_by_desc(session::Column::Id)
        .limit(keep)
        .into_query();
    session::Entity::delete_many()
        .filter(of_member(user, tenant))
        .filter(session::Column::Id.not_in_subquery(kept))
        .exec(tx)
        .await
        .map(drop)
        .map_err(database_error)
}

fn of_member(user: UserId, tenant: TenantId) -> Condition {
    Condition::all()
        .add(session::Column::UserId.eq(user.as_uuid()))
        .add(session::Column::TenantId.eq(tenant.as_uuid()))
}

pub(crate) async fn session_fetch(
    tx: &DatabaseTransaction,
    id: SessionId,
) -> Result<Option<session::Model>, Error> {
    session::Entity::find_by_id(id.as_uuid())
        .one(tx)
        .await
        .map_err(database_error)
}

/// Finds a refresh token and its session, and locks the session, so that all
/// uses of one family come one after the other.
pub(crate) async fn family_lock_in_tx(
    tx: &DatabaseTransaction,
    hash: [u8; 32],
) -> Result<Option<(refresh_token::Model, session::Model)>, Error> {
    let Some(found) = token_fetch(tx, hash).await? else {
        return Ok(None);
    };
    let session = session::Entity::find_by_id(found.session_id)
        .lock_exclusive()
        .one(tx)
        .await
        .map_err(database_error)?;
    let Some(session) = session else {
        return Ok(None);
    };
    // Whoever held the lock before may have used the token since it was read.
    let token = token_fetch(tx, hash).await?;
    Ok(token.map(|token| (token, session)))
}

async fn token_fetch(
    tx: &DatabaseTransaction,
    hash: [u8; 32],
) -> Result<Option<refresh_token::Model>, Error> {
    refresh_token::Entity::find_by_id(hash.to_vec())
        .one(tx)
        .await
        .map_err(database_error)
}

/// Marks a token as used and puts its successor in its place.
pub(crate) async fn token_rotate_in_tx(
    tx: &DatabaseTransaction,
    session: &session::Model,
    successor: [u8; 32],
    at: Timestamp,
    idle_expires_at: Timestamp,
) -> Result<(), Error> {
    let generation = session.generation + 1;
    refresh_token::Entity::update_many()
        .set(refresh_token::ActiveModel {
            used_at: Set(Some(to_micros(at))),
            ..Default::default()
        })
        .filter(refresh_token::Column::SessionId.eq(session.id))
        .filter(refresh_token::Column::Generation.eq(session.generation))
        .exec(tx)
        .await
        .map_err(database_error)?;
    session::Entity::update_many()
        .set(session::ActiveModel {
            generation: Set(generation),
            idle_expires_at: Set(to_micros(idle_expires_at)),
            ..Default::default()
        })
        .filter(session::Column::Id.eq(session.id))
        .exec(tx)
        .await
        .map_err(database_error)?;
    token_insert_in_tx(tx, SessionId::from_uuid(session.id), generation, successor).await
}

/// Ends one session; one that has ended keeps its first reason.
pub(crate) async fn session_revoke_in_tx(
    tx: &DatabaseTransaction,
    id: SessionId,
    reason: Revocation,
    at: Timestamp,
) -> Result<(), Error> {
    revoke(tx, session::Column::Id.eq(id.as_uuid()), reason, at).await
}

/// Ends all sessions of a user, in every tenant.
pub(crate) async fn sessions_revoke_of_user_in_tx(
    tx: &DatabaseTransaction,
    user: UserId,
    at: Timestamp,
) -> Result<(), Error> {
    let of_user = session::Column::UserId.eq(user.as_uuid());
    revoke(tx, of_user, Revocation::SignOutEverywhere, at).await
}

async fn revoke(
    tx: &DatabaseTransaction,
    which: Expr,
    reason: Revocation,
    at: Timestamp,
) -> Result<(), Error> {
    session::Entity::update_many()
        .set(session::ActiveModel {
            revoked_at: Set(Some(to_micros(at))),
            revoked_for: Set(Some(reason.name().to_owned())),
            ..Default::default()
        })
        .filter(which)
        .filter(session::Column::RevokedAt.is_null())
        .exec(tx)
        .await
        .map(drop)
        .map_err(database_error)
}

/// Deletes at most `limit` sessions that have ended, and gives their number.
pub(crate) async fn sessions_prune_in_tx(
    tx: &DatabaseTransaction,
    at: Timestamp,
    limit: u64,
) -> Result<u64, Error> {
    let at = to_micros(at);
    let ended = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(
            Condition::any()
                .add(session::Column::ExpiresAt.lte(at))
                .add(session::Column::IdleExpiresAt.lte(at))
                .add(session::Column::RevokedAt.is_not_null()),
        )
        .limit(limit)
        .into_query();
    session::Entity::delete_many()
        .filter(session::Column::Id.in_subquery(ended))
        .exec(tx)
        .await
        .map(|done| done.rows_affected)
        .map_err(database_error)
}
