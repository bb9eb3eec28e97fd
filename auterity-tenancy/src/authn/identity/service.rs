use std::sync::Arc;
use std::time::Duration;

use auterity_core::Actor;
use auterity_core::Scope;
use auterity_core::clock::Clock;
use jiff::Timestamp;

use crate::authn::key_ring::KeyRing;
use crate::authn::keys::Jwks;
use crate::authn::options::IdentityOptions;
use crate::authn::password::Hasher;
use crate::authn::session::{SessionRules, Tokens};
use crate::authn::throttle::Throttle;
use crate::authn::token::{AccessTokens, Subject};
use crate::authz::Principal;
use crate::connection::ControlDb;
use crate::error::Error;
use crate::secret::Secret;

/// Sign-up, sign-in, login sessions and access tokens. Clones share everything.
///
/// # Cancel safety
/// Each method that writes does so in a transaction that goes on when the future
/// is dropped: either all of it happens or nothing. A caller that drops `sign_in`
/// or `refresh` may lose the tokens of a session that exists; signing in again
/// makes another.
#[derive(Clone)]
pub struct Identity {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) db: ControlDb,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keys: KeyRing,
    pub(super) key_lifetime: Duration,
    /// How long a replaced key verifies: as long as a token it signed may live.
    pub(super) key_overlap: Duration,
    pub(super) access_lifetime: Duration,
    pub(super) tokens: AccessTokens,
    pub(super) hasher: Hasher,
    pub(super) throttle: Throttle,
    pub(super) rules: SessionRules,
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

    /// Verifies an access token, without asking the database.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub fn authenticate(&self, access_token: &str) -> Result<Principal, Error> {
        self.inner.tokens.verify(access_token, self.now())
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

    pub(super) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(super) fn tokens(
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
