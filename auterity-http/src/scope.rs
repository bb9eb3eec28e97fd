//! From a request to a [`Scope`]: the one place at this edge that builds one.

use auterity_core::{Actor, Scope};
use auterity_tenancy::{Permission, Principal, SignedIn, check};
use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::edge::RequestId;
use crate::error::{Code, Problem};
use crate::services::Context;

const SCHEME: &str = "bearer";
/// Characters of an access token at most.
const TOKEN_LENGTH_MAX: usize = 4_096;

/// Who calls: somebody with a valid access token.
///
/// It is no right to anything yet; [`scope`](Self::scope) asks for one.
#[derive(Debug)]
pub(crate) struct Caller {
    context: Context,
    principal: Principal,
    request_id: RequestId,
}

impl Caller {
    /// Gives the scope to act in, if the caller's role has the permission.
    pub(crate) fn scope(&self, permission: Permission) -> Result<Scope, Problem> {
        check(&self.principal, permission)?;
        let trace = Some(self.request_id.as_str().to_owned());
        Ok(self
            .context
            .identity()
            .scope_for(&self.principal, trace, None))
    }

    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// Gives the scope of somebody who has just made a tenant, and so owns it.
pub(crate) fn scope_of_owner(signed_in: &SignedIn) -> Scope {
    Scope::new(signed_in.tenant.id, Actor::User(signed_in.user.id))
}

/// Reads the access token of a request.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case(SCHEME) && token.len() <= TOKEN_LENGTH_MAX).then_some(token)
}

/// Verifies the access token of a request.
pub(crate) fn principal(context: &Context, headers: &HeaderMap) -> Result<Principal, Problem> {
    let token = bearer_token(headers).ok_or_else(|| {
        Problem::new(
            Code::Unauthenticated,
            "this call needs an access token; sign in and send it as `Authorization: Bearer …`",
        )
    })?;
    Ok(context.identity().authenticate(token)?)
}

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some("The access token of sign-in, sign-up or refresh"),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let context = crate::edge::context(request)?;
        let principal = principal(&context, request.headers())?;
        Ok(Self {
            principal,
            request_id: crate::edge::request_id(request)?,
            context,
        })
    }
}
