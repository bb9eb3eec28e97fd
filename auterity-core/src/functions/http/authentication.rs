//! Authentication policies of endpoints.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde_json::Value;

use super::digest::Credentials;
use crate::interpreter::{Problem, ProblemKind};

/// How a call says who it is.
pub(super) enum Authentication {
    /// By this `Authorization` header.
    Header(HeaderValue),
    /// By answering the server's challenge.
    Digest(Credentials),
}

/// Reads a policy. Problems name its kind and properties, never its values.
pub(super) fn read(policy: &Value) -> Result<Authentication, Problem> {
    let Some((kind, settings)) = policy.as_object().and_then(|policy| policy.iter().next()) else {
        return Err(wrong(
            "the endpoint's authentication is not an object with one policy",
        ));
    };
    let text = match kind.as_str() {
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
            return Ok(Authentication::Digest(Credentials {
                username: property(settings, "digest", "username")?.to_owned(),
                password: property(settings, "digest", "password")?.to_owned(),
            }));
        }
        "oauth2" | "oidc" | "certificate" => {
            return Err(wrong(format!(
                "{kind} authentication is not supported yet; use basic, bearer or digest, or set the header"
            )));
        }
        "use" => return Err(wrong("the named authentication policy does not exist")),
        _ => {
            return Err(wrong(
                "the endpoint's authentication is none of basic, bearer and digest",
            ));
        }
    };
    let mut header = HeaderValue::from_str(&text)
        .map_err(|_| wrong("the credentials contain characters that a header cannot carry"))?;
    header.set_sensitive(true);
    Ok(Authentication::Header(header))
}

fn property<'a>(settings: &'a Value, kind: &str, name: &str) -> Result<&'a str, Problem> {
    if settings.get("use").is_some() {
        return Err(wrong(format!(
            "{kind} authentication from a secret by 'use' is not supported yet; write ${{ $secrets.NAME }} instead"
        )));
    }
    settings
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| wrong(format!("{kind} authentication needs the text '{name}'")))
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header(policy: &Value) -> HeaderValue {
        match read(policy) {
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
            json!({"oidc": {"client": {"secret": "canary"}}}),
            json!({"use": "canary"}),
            json!({"canary": {}}),
            json!({}),
            json!("canary"),
        ];
        for policy in table {
            let problem = read(&policy).err().expect("a problem");
            assert_eq!(problem.status, 400, "{policy}");
            assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
        }
    }
}
