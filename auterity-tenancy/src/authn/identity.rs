use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::clock::Clock;
use auterity_core::{Actor, Scope, SessionId, TenantId, UserId};
use jiff::Timestamp;
use sea_orm::DatabaseTransaction;
use serde::Serialize;

use super::input::{self, SignIn, SignUp, ValidSignUp, normalise_email};
use super::keys::{Jwks, KeyRing};
use super::options::IdentityOptions;
use super::password::Hasher;
use super::session::{self, FreshToken, Rotation, SessionRules, SessionStart, Tokens};
use super::throttle::Throttle;
use super::token::{AccessTokens, Subject};
use crate::authz::{Principal, Role};
use crate::connection::ControlDb;
use crate::error::{Error, ErrorKind};
use crate::random::SecureRandom;
use crate::secret::Secret;
use crate::store::entity::{membership, tenant, user};
use crate::store::sessions::Revocation;
use crate::store::users::NewAccount;
use crate::store::{from_micros, sessions, users};

/// How many sessions one transaction of [`Identity::maintain`] deletes.
const PRUNE_BATCH: u64 = 500;

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

/// Sign-up, sign-in, login sessions and access tokens. Clones share everything.
///
/// # Cancel safety
/// Each method that writes does so in a transaction that goes on when the future
/// is dropped: either all of it happens or nothing. A caller that drops `sign_in`
/// or `refresh` may lose the tokens of a session that exists; signing in again
/// makes another.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    db: ControlDb,
    clock: Arc<dyn Clock>,
    keys: KeyRing,
    key_lifetime: Duration,
    /// How long a replaced key verifies: as long as a token it signed may live.
    key_overlap: Duration,
    access_lifetime: Duration,
    tokens: AccessTokens,
    hasher: Hasher,
    throttle: Throttle,
    rules: SessionRules,
}

impl Identity {
    /// Makes the service. The tables must exist: see [`migrate`](crate::migrate).
    ///
    /// # Errors
    /// `Internal` when an option is out of range.
    pub fn new(
        options: &IdentityOptions,
        db: ControlDb,
        clock: Arc<dyn Clock>,
        keys: KeyRing,
    ) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self {
            inner: Arc::new(Inner {
                db,
                clock,
                tokens: AccessTokens::new(options, keys.clone()),
                keys,
                key_lifetime: options.key_lifetime,
                key_overlap: options.access_lifetime + options.leeway,
                access_lifetime: options.access_lifetime,
                hasher: Hasher::new(&options.hashing)?,
                throttle: Throttle::new(&options.throttle),
                rules: SessionRules::new(options),
            }),
        })
    }

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
        let found = self
            .inner
            .db
            .read("identity.user_by_email", move |tx| {
                Box::pin(async move { users::user_by_email(tx, &email).await })
            })
            .await?;
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

    /// Verifies an access token, without asking the database.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn authenticate(&self, access_token: &str) -> Result<Principal, Error> {
        self.inner.tokens.verify(access_token, self.now())
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

    /// Gives the published keys.
    #[must_use]
    pub fn jwks(&self) -> Jwks {
        self.inner.keys.jwks(self.now())
    }

    /// Makes the scope under which a principal's request acts. The request edge is
    /// the only caller.
    #[must_use]
    pub fn scope_for(
        &self,
        principal: &Principal,
        trace: Option<String>,
        deadline: Option<Timestamp>,
    ) -> Scope {
        let mut scope = Scope::new(principal.tenant, Actor::User(principal.user));
        if let Some(trace) = trace {
            scope = scope.with_trace(trace);
        }
        if let Some(deadline) = deadline {
            scope = scope.with_deadline(deadline);
        }
        scope
    }

    /// Deletes sessions that have ended and replaces an old signing key. The host
    /// calls it about once an hour; it may run on several nodes at once. Gives the
    /// number of sessions deleted.
    ///
    /// # Errors
    /// `Unavailable`, or `Internal` when the key file cannot be written.
    pub async fn maintain(&self) -> Result<u64, Error> {
        let now = self.now();
        if self.inner.keys.is_due(now, self.inner.key_lifetime) {
            self.rotate_keys().await?;
        }
        let mut total = 0;
        loop {
            let deleted = self
                .inner
                .db
                .write("identity.prune", move |tx| {
                    Box::pin(sessions::sessions_prune_in_tx(tx, now, PRUNE_BATCH))
                })
                .await?;
            total += deleted;
            if deleted < PRUNE_BATCH {
                return Ok(total);
            }
        }
    }

    /// Signs with a new key from now on; tokens signed before stay valid to their end.
    ///
    /// # Errors
    /// `Internal` when the keys came as text or the file cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "writing the key file blocks, and happens a few times a year"
    )]
    pub async fn rotate_keys(&self) -> Result<(), Error> {
        let keys = self.inner.keys.clone();
        let (now, overlap) = (self.now(), self.inner.key_overlap);
        tokio::task::spawn_blocking(move || keys.rotate(now, overlap))
            .await
            .map_err(|source| Error::internal("rotating keys broke off").with_source(source))?
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
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

    fn tokens(
        &self,
        subject: Subject,
        refresh_token: Secret,
        now: Timestamp,
    ) -> Result<Tokens, Error> {
        Ok(Tokens {
            access_token: self.inner.tokens.issue(subject, now)?,
            expires_in: self.inner.access_lifetime,
            refresh_token,
        })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Identity")
            .field("db", &self.inner.db)
            .field("keys", &self.inner.keys)
            .finish_non_exhaustive()
    }
}

async fn choose_tenant(
    tx: &DatabaseTransaction,
    user: UserId,
    slug: Option<String>,
) -> Result<(membership::Model, tenant::Model), Error> {
    let named = slug.is_some();
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

fn user_of(row: user::Model) -> Result<User, Error> {
    Ok(User {
        id: UserId::from_uuid(row.id),
        email: row.email,
        created_at: from_micros(row.created_at)?,
    })
}

fn tenant_of(row: tenant::Model) -> Result<Tenant, Error> {
    Ok(Tenant {
        id: TenantId::from_uuid(row.id),
        name: row.name,
        slug: row.slug,
        created_at: from_micros(row.created_at)?,
    })
}
