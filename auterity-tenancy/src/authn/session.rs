use std::time::Duration;

use auterity_core::{SessionId, TenantId, UserId};
use jiff::{SignedDuration, Timestamp};
use sea_orm::DatabaseTransaction;
use sha2::{Digest as _, Sha256};

use super::options::IdentityOptions;
use crate::authz::Role;
use crate::error::{Error, ErrorKind};
use crate::random;
use crate::secret::Secret;
use crate::store::entity::{refresh_token, session};
use crate::store::sessions::{self, NewSession, Revocation};
use crate::store::{to_micros, users};

const REFRESH_PREFIX: &str = "art_";
const REFRESH_BYTES: usize = 32;
/// 32 bytes in base 64 without padding.
const REFRESH_LETTERS: usize = 43;

/// What a client holds of a login session.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The signed token that each call carries.
    pub access_token: Secret,
    /// How long the access token is valid.
    pub expires_in: Duration,
    /// The token that buys the next pair, once.
    pub refresh_token: Secret,
}

/// A refresh token and the hash under which it is stored.
pub(crate) struct FreshToken {
    pub(crate) token: Secret,
    pub(crate) hash: [u8; 32],
}

impl FreshToken {
    pub(crate) fn generate() -> Self {
        let letters = random::text::<REFRESH_BYTES>();
        let token = format!("{REFRESH_PREFIX}{}", letters.as_str());
        Self {
            hash: Sha256::digest(&token).into(),
            token: Secret::from(token),
        }
    }
}

/// Gives the hash of a text that looks like a refresh token.
pub(crate) fn hash_of(token: &Secret) -> Option<[u8; 32]> {
    let letters = token.expose().strip_prefix(REFRESH_PREFIX)?;
    (letters.len() == REFRESH_LETTERS).then(|| Sha256::digest(token.expose()).into())
}

/// How long sessions last, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionRules {
    lifetime: SignedDuration,
    idle: SignedDuration,
    race_micros: i64,
    per_member_max: u64,
}

impl SessionRules {
    pub(crate) fn new(options: &IdentityOptions) -> Self {
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Self {
            lifetime: signed(options.session_lifetime),
            idle: signed(options.session_idle),
            race_micros: i64::try_from(options.refresh_race.as_micros()).unwrap_or(0),
            per_member_max: u64::from(options.sessions_per_member_max),
        }
    }

    /// Writes a new session and makes room for it.
    pub(crate) async fn open_in_tx(
        self,
        tx: &DatabaseTransaction,
        new: SessionStart,
    ) -> Result<(), Error> {
        let expires_at = after(new.at, self.lifetime)?;
        let session = NewSession {
            id: new.id,
            user: new.user,
            tenant: new.tenant,
            token_hash: new.token_hash,
            at: new.at,
            expires_at,
            idle_expires_at: after(new.at, self.idle)?.min(expires_at),
        };
        sessions::session_insert_in_tx(tx, session).await?;
        sessions::sessions_trim_in_tx(tx, new.user, new.tenant, self.per_member_max).await
    }

    /// Replaces a refresh token by its successor, if it is the newest of a living
    /// session; a replaced token that comes back ends the session.
    pub(crate) async fn rotate_in_tx(
        self,
        tx: &DatabaseTransaction,
        presented: [u8; 32],
        successor: [u8; 32],
        now: Timestamp,
    ) -> Result<Rotation, Error> {
        let Some((token, session)) = sessions::family_lock_in_tx(tx, presented).await? else {
            return Ok(Rotation::Ended);
        };
        if !is_active(&session, now) {
            return Ok(Rotation::Ended);
        }
        let id = SessionId::from_uuid(session.id);
        if token.used_at.is_some() {
            if self.is_race(&token, &session, now) {
                return Ok(Rotation::Raced);
            }
            sessions::session_revoke_in_tx(tx, id, Revocation::TokenReuse, now).await?;
            return Ok(Rotation::Reused { session: id });
        }
        let user = UserId::from_uuid(session.user_id);
        let tenant = TenantId::from_uuid(session.tenant_id);
        let Some((membership, _)) = users::membership_fetch(tx, user, tenant).await? else {
            return Ok(Rotation::Ended);
        };
        let idle_expires_at = after(now, self.idle)?;
        sessions::token_rotate_in_tx(tx, &session, successor, now, idle_expires_at).await?;
        Ok(Rotation::Done(Rotated {
            session: id,
            user,
            tenant,
            role: membership.role.parse()?,
        }))
    }

    // Two tabs that share a cookie may refresh at once; the loser holds the token
    // that was newest a moment ago. It gets no tokens, so a thief gains nothing
    // here, and a token that comes back later still ends the session.
    fn is_race(
        self,
        token: &refresh_token::Model,
        session: &session::Model,
        now: Timestamp,
    ) -> bool {
        let age = token
            .used_at
            .map(|used| to_micros(now).saturating_sub(used));
        token.generation + 1 == session.generation
            && age.is_some_and(|age| (0..=self.race_micros).contains(&age))
    }
}

/// What a new session belongs to.
pub(crate) struct SessionStart {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) tenant: TenantId,
    pub(crate) token_hash: [u8; 32],
    pub(crate) at: Timestamp,
}

/// What became of a refresh token.
pub(crate) enum Rotation {
    Done(Rotated),
    Raced,
    Reused { session: SessionId },
    Ended,
}

/// Whom the new tokens are for.
pub(crate) struct Rotated {
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    pub(crate) tenant: TenantId,
    pub(crate) role: Role,
}

pub(crate) fn is_active(session: &session::Model, now: Timestamp) -> bool {
    let now = to_micros(now);
    session.revoked_at.is_none() && now < session.expires_at && now < session.idle_expires_at
}

pub(crate) fn ended() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "the session has ended; sign in again",
    )
}

pub(crate) fn raced() -> Error {
    Error::new(
        ErrorKind::Conflict {
            field: "refresh_token",
        },
        "the session was refreshed by another call at the same time; use the tokens it got",
    )
}

fn after(at: Timestamp, duration: SignedDuration) -> Result<Timestamp, Error> {
    at.checked_add(duration)
        .map_err(|source| Error::internal("the time is out of range").with_source(source))
}
