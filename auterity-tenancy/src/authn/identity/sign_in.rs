//! Ways to a new session.

use std::net::IpAddr;

use auterity_core::{SessionId, TenantId, UserId};
use jiff::Timestamp;
use sea_orm::DatabaseTransaction;

use super::account::{SignedIn, tenant_of, user_of};
use super::service::Identity;
use crate::authn::input::{self, SignIn, SignUp, ValidSignUp, normalise_email};
use crate::authn::session::{FreshToken, SessionStart};
use crate::authn::token::Subject;
use crate::authz::Role;
use crate::error::{Error, ErrorKind};
use crate::random::SecureRandom;
use crate::secret::Secret;
use crate::store::entity::{membership, tenant, user};
use crate::store::users::{self, NewAccount};

impl Identity {
    /// Makes a user and a tenant that the user owns, and signs the user in.
    ///
    /// `from` is the caller's address; without it, all such callers share one limit.
    ///
    /// # Errors
    /// `Invalid` with every mistake, `Conflict` for a taken `email` or `slug`,
    /// `Throttled`, `Overloaded`, `Unavailable`.
    pub async fn sign_up(&self, input: SignUp, from: Option<IpAddr>) -> Result<SignedIn, Error> {
        let input = input::validate(input)?;
        let now = self.now();
        self.inner.throttle.sign_up(from, now)?;
        self.refuse_taken(&input).await?;
        let password_hash = self.inner.hasher.hash(input.password).await?;
        let account = NewAccount {
            user: UserId::generate(now, &SecureRandom),
            email: input.email,
            password_hash,
            tenant: TenantId::generate(now, &SecureRandom),
            slug: input.tenant_slug,
            name: input.tenant_name,
            at: now,
        };
        let fresh = FreshToken::generate();
        let start = SessionStart {
            id: SessionId::generate(now, &SecureRandom),
            user: account.user,
            tenant: account.tenant,
            token_hash: fresh.hash,
            at: now,
        };
        let session = start.id;
        let rules = self.inner.rules;
        let rows = self
            .inner
            .db
            .write("identity.sign_up", move |tx| {
                Box::pin(async move {
                    let rows = users::account_insert_in_tx(tx, account).await?;
                    rules.open_in_tx(tx, start).await?;
                    Ok(rows)
                })
            })
            .await?;
        let signed_in = self.signed_in(rows, session, fresh.token, now)?;
        tracing::info!(user = %signed_in.user.id, tenant = %signed_in.tenant.id, "signed up");
        Ok(signed_in)
    }

    /// Signs a user in to a tenant.
    ///
    /// An unknown address and a wrong password give the same answer in the same
    /// time: each costs one look-up and one password verification.
    ///
    /// # Errors
    /// `Unauthenticated` for a wrong address, password or tenant, `Throttled`,
    /// `Overloaded`, `Unavailable`.
    pub async fn sign_in(&self, input: SignIn, from: Option<IpAddr>) -> Result<SignedIn, Error> {
        let now = self.now();
        let email = normalise_email(&input.email);
        let attempt = self.inner.throttle.sign_in(&email, from, now)?;
        let found = self.user_by_email(email).await?;
        let stored = found.as_ref().map(|user| user.password_hash.0.clone());
        let verified = self.inner.hasher.verify(input.password, stored).await?;
        let user = match found {
            Some(user) if verified.matches => user,
            Some(_) | None => return Err(wrong_credentials()),
        };
        self.inner.throttle.succeeded(attempt);
        self.open_session(user, input.tenant, verified.replacement, now)
            .await
    }

    /// Finds a user. What cannot be an address is not asked for: databases do not take
    /// every text, and nobody has it.
    async fn user_by_email(&self, email: String) -> Result<Option<user::Model>, Error> {
        if !input::may_be_email(&email) {
            return Ok(None);
        }
        self.inner
            .db
            .read("identity.user_by_email", move |tx| {
                Box::pin(async move { users::user_by_email(tx, &email).await })
            })
            .await
    }

    /// Spares the cost of a hash where the answer is known; the unique indexes decide.
    async fn refuse_taken(&self, input: &ValidSignUp) -> Result<(), Error> {
        let (email, slug) = (input.email.clone(), input.tenant_slug.clone());
        self.inner
            .db
            .read("identity.sign_up_check", move |tx| {
                Box::pin(async move {
                    if users::user_by_email(tx, &email).await?.is_some() {
                        return Err(users::email_taken());
                    }
                    if users::slug_exists(tx, &slug).await? {
                        return Err(users::slug_taken());
                    }
                    Ok(())
                })
            })
            .await
    }

    async fn open_session(
        &self,
        user: user::Model,
        slug: Option<String>,
        password_replacement: Option<String>,
        now: Timestamp,
    ) -> Result<SignedIn, Error> {
        let fresh = FreshToken::generate();
        let token_hash = fresh.hash;
        let session = SessionId::generate(now, &SecureRandom);
        let rules = self.inner.rules;
        let rows = self
            .inner
            .db
            .write("identity.sign_in", move |tx| {
                Box::pin(async move {
                    let id = UserId::from_uuid(user.id);
                    let (membership, tenant) = choose_tenant(tx, id, slug).await?;
                    if let Some(new) = password_replacement {
                        users::password_replace_in_tx(tx, id, &user.password_hash, new).await?;
                    }
                    let start = SessionStart {
                        id: session,
                        user: id,
                        tenant: TenantId::from_uuid(tenant.id),
                        token_hash,
                        at: now,
                    };
                    rules.open_in_tx(tx, start).await?;
                    Ok((user, tenant, membership))
                })
            })
            .await?;
        let signed_in = self.signed_in(rows, session, fresh.token, now)?;
        tracing::info!(user = %signed_in.user.id, tenant = %signed_in.tenant.id, "signed in");
        Ok(signed_in)
    }

    fn signed_in(
        &self,
        (user, tenant, membership): (user::Model, tenant::Model, membership::Model),
        session: SessionId,
        refresh_token: Secret,
        now: Timestamp,
    ) -> Result<SignedIn, Error> {
        let (user, tenant) = (user_of(user)?, tenant_of(tenant)?);
        let role: Role = membership.role.parse()?;
        let subject = Subject {
            user: user.id,
            tenant: tenant.id,
            session,
            role,
        };
        Ok(SignedIn {
            user,
            tenant,
            role,
            tokens: self.tokens(subject, refresh_token, now)?,
        })
    }
}

async fn choose_tenant(
    tx: &DatabaseTransaction,
    user: UserId,
    slug: Option<String>,
) -> Result<(membership::Model, tenant::Model), Error> {
    let named = slug.is_some();
    if slug
        .as_deref()
        .is_some_and(|slug| !input::may_be_slug(slug))
    {
        return Err(wrong_credentials());
    }
    match users::membership_choose(tx, user, slug.as_deref()).await? {
        Some(chosen) => Ok(chosen),
        // Whether the named tenant exists is not told to those outside of it.
        None if named => Err(wrong_credentials()),
        None => Err(Error::new(
            ErrorKind::Forbidden,
            "the account belongs to no tenant; ask for an invitation",
        )),
    }
}

fn wrong_credentials() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "the email address or the password is wrong",
    )
}
