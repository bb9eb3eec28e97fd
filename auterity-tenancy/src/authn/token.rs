use std::time::Duration;

use auterity_core::{SessionId, TenantId, UserId};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};

use super::key_ring::KeyRing;
use super::options::IdentityOptions;
use crate::authz::{Principal, Role};
use crate::error::{Error, ErrorKind};
use crate::random;
use crate::secret::Secret;

/// The type of OAuth 2.0 access tokens (RFC 9068), so that no other token of ours
/// can pass for one.
const TYPE: &str = "at+jwt";
/// Our own tokens have about 600 bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// Issues and verifies access tokens.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    issuer: String,
    audience: String,
    lifetime: Duration,
    leeway_s: i64,
    keys: KeyRing,
    validation: Validation,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    tid: TenantId,
    sid: SessionId,
    role: Role,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Whom a token is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) user: UserId,
    pub(crate) tenant: TenantId,
    pub(crate) session: SessionId,
    pub(crate) role: Role,
}

impl AccessTokens {
    pub(crate) fn new(options: &IdentityOptions, keys: KeyRing) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&options.issuer]);
        validation.set_audience(&[&options.audience]);
        // The library would read the system's clock; `check_times` uses ours.
        validation.validate_exp = false;
        Self {
            issuer: options.issuer.clone(),
            audience: options.audience.clone(),
            lifetime: options.access_lifetime,
            leeway_s: i64::try_from(options.leeway.as_secs()).unwrap_or(0),
            keys,
            validation,
        }
    }

    pub(crate) fn issue(&self, subject: Subject, now: Timestamp) -> Result<Secret, Error> {
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(0);
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: subject.user,
            tid: subject.tenant,
            sid: subject.session,
            role: subject.role,
            iat: now.as_second(),
            exp: now.as_second().saturating_add(lifetime),
            jti: random::text::<16>().to_string(),
        };
        let keys = self.keys.keys();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        let key = keys.signing(now);
        header.kid = Some(key.public.id.clone());
        jsonwebtoken::encode(&header, &claims, &key.signing)
            .map(Secret::from)
            .map_err(|source| Error::internal("signing a token failed").with_source(source))
    }

    /// Verifies a token. Which part of it was wrong is not told.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, Error> {
        let claims = self.claims(token, now).ok_or_else(refused)?;
        let expires_at = Timestamp::from_second(claims.exp).map_err(|_| refused())?;
        Ok(Principal {
            user: claims.sub,
            tenant: claims.tid,
            session: claims.sid,
            role: claims.role,
            expires_at,
        })
    }

    fn claims(&self, token: &str, now: Timestamp) -> Option<Claims> {
        if TOKEN_BYTES_MAX < token.len() {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        // The algorithm is our key's, whatever the token says, and a token that
        // brings or names a key of its own is none of ours.
        let ours = header.alg == Algorithm::EdDSA
            && header.typ.as_deref() == Some(TYPE)
            && header.crit.is_none()
            && header.jku.is_none()
            && header.jwk.is_none()
            && header.x5u.is_none()
            && header.x5c.is_none();
        if !ours {
            return None;
        }
        let keys = self.keys.keys();
        let key = keys.verifying(&header.kid?, now)?;
        let token = jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok()?;
        self.check_times(&token.claims, now).then_some(token.claims)
    }

    fn check_times(&self, claims: &Claims, now: Timestamp) -> bool {
        let now = now.as_second();
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(0);
        now < claims.exp.saturating_add(self.leeway_s)
            && claims.iat <= now.saturating_add(self.leeway_s)
            && claims.exp.saturating_sub(claims.iat) <= lifetime
    }
}

fn refused() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "the access token is not valid or has expired; refresh it or sign in",
    )
}
