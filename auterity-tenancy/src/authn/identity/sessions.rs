//! What becomes of a session, and who it belongs to.

use auterity_core::SessionId;

use super::account::{Me, tenant_of, user_of};
use super::service::Identity;
use crate::authn::session::{self, FreshToken, Rotation, Tokens};
use crate::authn::token::Subject;
use crate::authz::Principal;
use crate::error::Error;
use crate::secret::Secret;
use crate::store::sessions::{self, Revocation};
use crate::store::users;

impl Identity {
    /// Exchanges a refresh token for new tokens. Each refresh token works once.
    ///
    /// A token that was exchanged before ends the session, since its owner and a
    /// thief cannot be told apart. Only within seconds of the exchange, and only
    /// for the newest exchanged token, it is refused as `Conflict` and the session
    /// lives on: two tabs of one browser do that. Such a caller gets no tokens and
    /// should use those that the other call got.
    ///
    /// # Errors
    /// `Unauthenticated` when the token is unknown or its session has ended,
    /// `Conflict` for a race, `Unavailable`.
    pub async fn refresh(&self, token: &Secret) -> Result<Tokens, Error> {
        let presented = session::hash_of(token).ok_or_else(session::ended)?;
        let now = self.now();
        let fresh = FreshToken::generate();
        let successor = fresh.hash;
        let rules = self.inner.rules;
        let rotation = self
            .inner
            .db
            .write("identity.refresh", move |tx| {
                Box::pin(rules.rotate_in_tx(tx, presented, successor, now))
            })
            .await?;
        match rotation {
            Rotation::Done(rotated) => {
                let subject = Subject {
                    user: rotated.user,
                    tenant: rotated.tenant,
                    session: rotated.session,
                    role: rotated.role,
                };
                self.tokens(subject, fresh.token, now)
            }
            Rotation::Raced => Err(session::raced()),
            Rotation::Reused { session } => {
                tracing::warn!(%session, "a used refresh token came back: session revoked");
                Err(session::ended())
            }
            Rotation::Ended => Err(session::ended()),
        }
    }

    /// Ends the principal's session. Its refresh token is dead at once, its access
    /// token at its end, or at once where [`session_active`](Self::session_active)
    /// is asked.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sign_out(&self, principal: &Principal) -> Result<(), Error> {
        let (session, now) = (principal.session, self.now());
        self.inner
            .db
            .write("identity.sign_out", move |tx| {
                Box::pin(sessions::session_revoke_in_tx(
                    tx,
                    session,
                    Revocation::SignOut,
                    now,
                ))
            })
            .await
    }

    /// Ends the session that a refresh token belongs to; an unknown token is no
    /// mistake, since its session has ended already.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sign_out_by_token(&self, token: &Secret) -> Result<(), Error> {
        let Some(hash) = session::hash_of(token) else {
            return Ok(());
        };
        let now = self.now();
        self.inner
            .db
            .write("identity.sign_out", move |tx| {
                Box::pin(async move {
                    let Some((_, family)) = sessions::family_lock_in_tx(tx, hash).await? else {
                        return Ok(());
                    };
                    let session = SessionId::from_uuid(family.id);
                    sessions::session_revoke_in_tx(tx, session, Revocation::SignOut, now).await
                })
            })
            .await
    }

    /// Ends all sessions of the principal's user, in every tenant.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sign_out_everywhere(&self, principal: &Principal) -> Result<(), Error> {
        let (user, now) = (principal.user, self.now());
        self.inner
            .db
            .write("identity.sign_out_everywhere", move |tx| {
                Box::pin(sessions::sessions_revoke_of_user_in_tx(tx, user, now))
            })
            .await
    }

    /// Tells whether a session is neither revoked nor expired now. Calls that must
    /// not outlive a sign-out by a token's lifetime ask this.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn session_active(&self, session: SessionId) -> Result<bool, Error> {
        let now = self.now();
        self.inner
            .db
            .read("identity.session_active", move |tx| {
                Box::pin(async move {
                    let found = sessions::session_fetch(tx, session).await?;
                    Ok(found.is_some_and(|found| session::is_active(&found, now)))
                })
            })
            .await
    }

    /// Gives the principal's user, tenant and role as stored now.
    ///
    /// # Errors
    /// `Unauthenticated` when the membership is gone, `Unavailable`.
    pub async fn me(&self, principal: &Principal) -> Result<Me, Error> {
        let (user, tenant) = (principal.user, principal.tenant);
        let found = self
            .inner
            .db
            .read("identity.me", move |tx| {
                Box::pin(async move {
                    let found = users::user_fetch(tx, user).await?;
                    Ok(found.zip(users::membership_fetch(tx, user, tenant).await?))
                })
            })
            .await?;
        let (user, (membership, tenant)) = found.ok_or_else(session::ended)?;
        Ok(Me {
            user: user_of(user)?,
            tenant: tenant_of(tenant)?,
            role: membership.role.parse()?,
        })
    }
}
