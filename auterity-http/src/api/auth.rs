//! Sign-up, sign-in and sessions.

use std::net::IpAddr;

use auterity_tenancy::{Me, Secret, SignIn, SignUp, SignedIn, Tokens};
use poem::http::{HeaderMap, header};
use poem::{Request, Response, handler};
use poem_openapi::param::Query;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::Tag;
use crate::detach::detached;
use crate::edge;
use crate::error::{Code, Problem};
use crate::payload::{Json, JsonBody, OptionalJsonBody, Time};
use crate::peer;
use crate::scope::{self, Caller};
use crate::security;
use crate::services::Context;

/// Where the refresh token goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum SessionMode {
    /// Into a cookie that scripts cannot read, for browsers.
    Cookie,
}

/// A new account with its tenant.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct SignUpRequest {
    /// The address to sign in with.
    email: String,
    /// 12 to 256 characters.
    password: String,
    /// The tenant to make.
    tenant: TenantRequest,
}

/// The tenant to make.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct TenantRequest {
    /// The display name.
    name: String,
    /// The short name: lower-case letters, digits and hyphens.
    slug: String,
}

/// Who wants in.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct SignInRequest {
    /// The address.
    email: String,
    /// The password.
    password: String,
    /// The short name of the tenant to work in; absent: the first.
    tenant: Option<String>,
}

/// What buys new tokens; absent when the session is in a cookie.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields)]
struct RefreshRequest {
    /// The refresh token.
    refresh_token: Option<String>,
}

/// A person who can sign in.
#[derive(Debug, Serialize, Object)]
struct User {
    /// The id.
    id: String,
    /// The address.
    email: String,
    /// When the person signed up.
    created_at: Time,
}

/// A customer with data of its own.
#[derive(Debug, Serialize, Object)]
struct Tenant {
    /// The id.
    id: String,
    /// The display name.
    name: String,
    /// The short name.
    slug: String,
    /// When it was made.
    created_at: Time,
}

/// What a client needs to call on.
#[derive(Debug, Serialize, Object)]
struct SessionTokens {
    /// Goes with each call.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// For how many seconds the access token is good.
    expires_in: u64,
    /// Buys the next tokens, once; absent when it went into a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// A new session.
#[expect(clippy::struct_field_names, reason = "the words of the API")]
#[derive(Debug, Serialize, Object)]
struct Session {
    /// Who.
    user: User,
    /// Where.
    tenant: Tenant,
    /// With what.
    session: SessionTokens,
}

/// Who the caller is.
#[derive(Debug, Serialize, Object)]
struct Myself {
    /// Who.
    user: User,
    /// Where.
    tenant: Tenant,
    /// As what.
    role: String,
}

#[derive(ApiResponse)]
enum SignedUpReply {
    /// The account is made and signed in.
    #[oai(status = 201)]
    Created(
        Json<Session>,
        #[oai(header = "Set-Cookie")] Option<String>,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum SignedInReply {
    /// Signed in.
    #[oai(status = 200)]
    Done(
        Json<Session>,
        #[oai(header = "Set-Cookie")] Option<String>,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum TokensReply {
    /// The next tokens.
    #[oai(status = 200)]
    Done(
        Json<SessionTokens>,
        #[oai(header = "Set-Cookie")] Option<String>,
        #[oai(header = "Cache-Control")] String,
    ),
}

#[derive(ApiResponse)]
enum SignedOutReply {
    /// The session is over.
    #[oai(status = 204)]
    Done(#[oai(header = "Set-Cookie")] Option<String>),
}

/// Tokens must not stay in any cache.
const NO_STORE: &str = "no-store";

pub(super) struct Api;

#[OpenApi(prefix_path = "/auth", tag = "Tag::Auth")]
impl Api {
    /// Makes an account and a tenant that it owns, and signs it in.
    #[oai(path = "/sign-up", method = "post", operation_id = "auth_sign_up")]
    async fn sign_up(
        &self,
        request: &Request,
        /// Where the refresh token goes; absent: into the answer.
        session: Query<Option<SessionMode>>,
        body: JsonBody<SignUpRequest>,
    ) -> Result<SignedUpReply, Problem> {
        let context = edge::context(request)?;
        let place = Place::asked(session.0, request.headers())?;
        let input = SignUp {
            email: body.0.email,
            password: Secret::from(body.0.password),
            tenant_name: body.0.tenant.name,
            tenant_slug: body.0.tenant.slug,
        };
        let (identity, from) = (context.identity().clone(), from(request, &context));
        let signed_in = detached(&context, "sign up", async move {
            Ok(identity.sign_up(input, from).await?)
        })
        .await?;
        context.signed_up(scope::scope_of_owner(&signed_in));
        let (session, cookie) = session_of(signed_in, place, &context);
        Ok(SignedUpReply::Created(
            Json(session),
            cookie,
            NO_STORE.to_owned(),
        ))
    }

    /// Signs an account in.
    #[oai(path = "/sign-in", method = "post", operation_id = "auth_sign_in")]
    async fn sign_in(
        &self,
        request: &Request,
        /// Where the refresh token goes; absent: into the answer.
        session: Query<Option<SessionMode>>,
        body: JsonBody<SignInRequest>,
    ) -> Result<SignedInReply, Problem> {
        let context = edge::context(request)?;
        let place = Place::asked(session.0, request.headers())?;
        let input = SignIn {
            email: body.0.email,
            password: Secret::from(body.0.password),
            tenant: body.0.tenant,
        };
        let (identity, from) = (context.identity().clone(), from(request, &context));
        let signed_in = detached(&context, "sign in", async move {
            let done = identity.sign_in(input, from).await;
            done.map_err(|error| refused_as(error, Code::InvalidCredentials))
        })
        .await?;
        let (session, cookie) = session_of(signed_in, place, &context);
        Ok(SignedInReply::Done(
            Json(session),
            cookie,
            NO_STORE.to_owned(),
        ))
    }

    /// Exchanges a refresh token, of the body or the session cookie, for new tokens.
    #[oai(path = "/refresh", method = "post", operation_id = "auth_refresh")]
    async fn refresh(
        &self,
        request: &Request,
        /// `cookie`: the refresh token comes from and goes into the session cookie.
        session: Query<Option<SessionMode>>,
        body: OptionalJsonBody<RefreshRequest>,
    ) -> Result<TokensReply, Problem> {
        let context = edge::context(request)?;
        let place = Place::asked(session.0, request.headers())?;
        let token = match place {
            Place::Cookie => security::session_token(request.headers(), https(&context)),
            Place::Answer => body.0.refresh_token.map(Secret::from),
        };
        let token = token.ok_or_else(|| {
            Problem::new(Code::SessionExpired, "there is no session; sign in again")
        })?;
        let identity = context.identity().clone();
        let tokens = detached(&context, "refresh", async move {
            let done = identity.refresh(&token).await;
            done.map_err(|error| refused_as(error, Code::SessionExpired))
        })
        .await?;
        let (tokens, cookie) = tokens_of(&tokens, place, &context);
        Ok(TokensReply::Done(Json(tokens), cookie, NO_STORE.to_owned()))
    }

    /// Ends the session of the access token, or of the session cookie.
    #[oai(path = "/sign-out", method = "post", operation_id = "auth_sign_out")]
    async fn sign_out(&self, request: &Request) -> Result<SignedOutReply, Problem> {
        let context = edge::context(request)?;
        let headers = request.headers();
        let cookie = security::session_token(headers, https(&context));
        let principal = match scope::bearer_token(headers) {
            Some(_) => Some(scope::principal(&context, headers)?),
            None => None,
        };
        if principal.is_none() || cookie.is_some() {
            security::check_same_origin(headers)?;
        }
        let forget = cookie
            .is_some()
            .then(|| security::forget_cookie(https(&context)));
        let identity = context.identity().clone();
        detached(&context, "sign out", async move {
            if let Some(principal) = principal {
                identity.sign_out(&principal).await?;
            }
            if let Some(token) = cookie {
                identity.sign_out_by_token(&token).await?;
            }
            Ok(())
        })
        .await?;
        Ok(SignedOutReply::Done(forget))
    }

    /// Says who the caller is.
    #[oai(path = "/me", method = "get", operation_id = "auth_me")]
    async fn me(&self, request: &Request, caller: Caller) -> Result<Json<Myself>, Problem> {
        let context = edge::context(request)?;
        let Me { user, tenant, role } = context.identity().me(caller.principal()).await?;
        Ok(Json(Myself {
            user: user.into(),
            tenant: tenant.into(),
            role: role.name().to_owned(),
        }))
    }
}

/// Publishes the keys that verify access tokens.
#[handler]
pub(super) fn jwks(request: &Request) -> poem::Result<Response> {
    let context = edge::context(request)?;
    let keys = serde_json::to_vec(&context.identity().jwks()).map_err(Problem::internal)?;
    Ok(Response::builder()
        .content_type("application/jwk-set+json")
        .header(header::CACHE_CONTROL, "public, max-age=300")
        .body(keys))
}

/// Where the refresh token is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Answer,
    Cookie,
}

impl Place {
    fn asked(mode: Option<SessionMode>, headers: &HeaderMap) -> Result<Self, Problem> {
        match mode {
            None => Ok(Self::Answer),
            Some(SessionMode::Cookie) => {
                security::check_same_origin(headers)?;
                Ok(Self::Cookie)
            }
        }
    }
}

/// Gives the client's address, for the limits of attempts.
fn from(request: &Request, context: &Context) -> Option<IpAddr> {
    peer::client(request, &context.options().trusted_proxies)
}

fn https(context: &Context) -> bool {
    context.options().https()
}

/// Names the refusal of credentials after what was presented.
fn refused_as(error: auterity_tenancy::Error, code: Code) -> Problem {
    let problem = Problem::from(error);
    if problem.code() == Code::Unauthenticated {
        return problem.with_code(code);
    }
    problem
}

fn session_of(done: SignedIn, place: Place, context: &Context) -> (Session, Option<String>) {
    let (session, cookie) = tokens_of(&done.tokens, place, context);
    let session = Session {
        user: done.user.into(),
        tenant: done.tenant.into(),
        session,
    };
    (session, cookie)
}

fn tokens_of(tokens: &Tokens, place: Place, context: &Context) -> (SessionTokens, Option<String>) {
    let mut answer = SessionTokens {
        access_token: tokens.access_token.expose().to_owned(),
        token_type: "Bearer".to_owned(),
        expires_in: tokens.expires_in.as_secs(),
        refresh_token: None,
    };
    match place {
        Place::Answer => {
            answer.refresh_token = Some(tokens.refresh_token.expose().to_owned());
            (answer, None)
        }
        Place::Cookie => {
            let cookie = security::session_cookie(&tokens.refresh_token, https(context));
            (answer, Some(cookie))
        }
    }
}

impl From<auterity_tenancy::User> for User {
    fn from(user: auterity_tenancy::User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email,
            created_at: Time(user.created_at),
        }
    }
}

impl From<auterity_tenancy::Tenant> for Tenant {
    fn from(tenant: auterity_tenancy::Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            slug: tenant.slug,
            created_at: Time(tenant.created_at),
        }
    }
}
