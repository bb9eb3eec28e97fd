//! Authentication policies of endpoints.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde_json::Value;

use super::digest::Credentials;
use super::token::{Scheme, TokenRequest};
use crate::TenantId;
use crate::interpreter::{Problem, ProblemKind};

/// How a call says who it is.
pub(super) enum Authentication {
    /// By this `Authorization` header.
    Header(HeaderValue),
    /// By something that has to be got first.
    Later(Later),
}

/// What is not known before a server was asked. It has no `Debug`.
pub(super) enum Later {
    /// The answer to the endpoint's own challenge.
    Digest(Credentials),
    /// A token of an authorization server.
    Token(Box<TokenRequest>),
}

/// Reads a policy. Problems name its kind and properties, never its values.
pub(super) fn read(policy: &Value, tenant: TenantId) -> Result<Authentication, Problem> {
    let Some((kind, settings)) = policy.as_object().and_then(|policy| policy.iter().next()) else {
        return Err(wrong(
            "the endpoint's authentication is not an object with one policy",
        ));
    };
    let header = match kind.as_str() {
        "basic" => {
            let user = property(settings, "basic", "username")?;
            let word = property(settings, "basic", "password")?;
            if user.contains(':') {
                return Err(wrong(
                    "a user name for basic authentication cannot contain a colon",
                ));
            }
            format!("Basic {}", STANDARD.encode(format!("{user}:{word}")))
        }
        "bearer" => format!("Bearer {}", property(settings, "bearer", "token")?),
        "digest" => {
            return Ok(Authentication::Later(Later::Digest(Credentials {
                username: property(settings, "digest", "username")?.to_owned(),
                password: property(settings, "digest", "password")?.to_owned(),
            })));
        }
        "oauth2" => return token(settings, Scheme::OAuth2, tenant),
        "oidc" => return token(settings, Scheme::Oidc, tenant),
        "certificate" => {
            return Err(wrong(
                "certificate authentication is not supported; use basic, bearer, digest, oauth2 or oidc",
            ));
        }
        "use" => return Err(wrong("the named authentication policy does not exist")),
        _ => {
            return Err(wrong(
                "the endpoint's authentication is none of basic, bearer, digest, oauth2 and oidc",
            ));
        }
    };
    authorization(&header)
        .map(Authentication::Header)
        .ok_or_else(|| wrong("the credentials contain characters that a header cannot carry"))
}

/// Makes the value of an `Authorization` header, which logs do not show.
pub(super) fn authorization(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn token(settings: &Value, scheme: Scheme, tenant: TenantId) -> Result<Authentication, Problem> {
    let request = TokenRequest::read(settings, scheme, tenant)?;
    Ok(Authentication::Later(Later::Token(Box::new(request))))
}

fn property<'a>(settings: &'a Value, kind: &str, name: &str) -> Result<&'a str, Problem> {
    settings
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| wrong(format!("{kind} authentication needs the text '{name}'")))
}

pub(super) fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TENANT: TenantId = TenantId::from_uuid(uuid::Uuid::from_u128(1));

    fn header(policy: &Value) -> HeaderValue {
        match read(policy, TENANT) {
            Ok(Authentication::Header(header)) => header,
            _ => panic!("no header"),
        }
    }

    #[test]
    fn policies_become_headers() {
        let policy = json!({"basic": {"username": "Aladdin", "password": "open sesame"}});
        let basic = header(&policy);
        assert_eq!(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(basic.is_sensitive());
        let bearer = header(&json!({"bearer": {"token": "abc"}}));
        assert_eq!(bearer, "Bearer abc");
    }

    #[test]
    fn wrong_policies_are_refused_without_their_values() {
        let table = [
            json!({"basic": {"username": "canary:x", "password": "canary"}}),
            json!({"basic": {"password": "canary"}}),
            json!({"basic": {"use": "canary"}}),
            json!({"bearer": {"token": "canary\r\nx: y"}}),
            json!({"bearer": {"token": 1}}),
            json!({"digest": {"username": "canary"}}),
            json!({"oauth2": {"client": {"secret": "canary"}}}),
            json!({"oauth2": "canary"}),
            json!({"oauth2": {"authority": "canary", "grant": "client_credentials"}}),
            json!({"oidc": {"authority": "https://canary", "grant": "canary"}}),
            json!({"oidc": {"client": {"secret": "canary"}}}),
            json!({"use": "canary"}),
            json!({"canary": {}}),
            json!({}),
            json!("canary"),
        ];
        for policy in table {
            let problem = read(&policy, TENANT).err().expect("a problem");
            assert_eq!(problem.status, 400, "{policy}");
            assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
        }
    }
}
