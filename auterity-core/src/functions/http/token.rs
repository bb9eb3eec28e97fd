//! Requests for tokens: `oauth2` (RFC 6749, 7523, 8693) and `oidc` policies.
//!
//! Where the standard leaves room:
//! - `refresh_token` has no property for the token itself: it is the `subject`, whose
//!   type is then not looked at. A new refresh token that comes with the answer takes
//!   its place for as long as this process remembers the token.
//! - `private_key_jwt` sends `client.assertion` as it is; where only `client.secret` is
//!   given, that is a private key in PEM form and an assertion is signed for each
//!   request, so that it need not outlive one.
//! - A token whose issuer must be one of `issuers` has to be a JWT that names it.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::authentication::{authorization, wrong};
use super::request::{Outgoing, parse};
use super::template;
use super::tokens::{Key, Token};
use crate::TenantId;
use crate::clock::{Entropy, SystemEntropy};
use crate::interpreter::{Problem, ProblemKind};

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// For how long an assertion that is signed here is good.
const ASSERTION_AGE: SignedDuration = SignedDuration::from_secs(60);
/// For how long a token is kept whose server does not say so.
const AGE_DEFAULT: SignedDuration = SignedDuration::from_secs(300);
/// For how long a token is kept at most.
const AGE_MAX: SignedDuration = SignedDuration::from_secs(24 * 3_600);
/// How long before its end a token is renewed at most.
const MARGIN_MAX: SignedDuration = SignedDuration::from_secs(30);

/// Which of the two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    OAuth2,
    Oidc,
}

/// How to get a token. It has no `Debug`: it holds secrets.
pub(super) struct TokenRequest {
    pub(super) key: Key,
    pub(super) server: Server,
    fields: Vec<(&'static str, Vec<String>)>,
    id: Option<String>,
    proof: Proof,
    as_json: bool,
    issuers: Vec<String>,
}

/// Whom to ask.
pub(super) enum Server {
    /// The address that gives tokens.
    Known(Url),
    /// The address that says which one does.
    Discovered { document: Url, issuer: String },
}

/// How the client proves itself.
enum Proof {
    None,
    Basic(String),
    Post(String),
    Assertion(String),
    Signed(Box<EncodingKey>, Algorithm),
}

impl TokenRequest {
    /// Reads a policy. Problems never show its values.
    pub(super) fn read(
        settings: &Value,
        scheme: Scheme,
        tenant: TenantId,
    ) -> Result<Self, Problem> {
        let Value::Object(policy) = settings else {
            return Err(wrong(
                "oauth2 and oidc authentication need an object; is the secret known here?",
            ));
        };
        let client = Settings {
            of: policy.get("client").and_then(Value::as_object),
        };
        let policy_of = Settings { of: Some(policy) };
        let encoding = policy.get("request").and_then(|one| one.get("encoding"));
        let identity = json!([tenant.to_string(), scheme == Scheme::Oidc, settings]);
        Ok(Self {
            key: Sha256::digest(identity.to_string()).into(),
            server: server(&policy_of, scheme)?,
            fields: fields(&policy_of)?,
            id: client.text("id"),
            proof: proof(&client)?,
            as_json: encoding.and_then(Value::as_str) == Some("application/json"),
            issuers: policy_of.texts("issuers")?,
        })
    }

    /// Makes the request to the server's address. `refresh` is the newest refresh
    /// token, where the one of the policy has been replaced.
    pub(super) fn request(
        &self,
        url: Url,
        refresh: Option<&str>,
        now: Timestamp,
    ) -> Result<Outgoing, Problem> {
        let mut fields = self.fields.clone();
        if let Some(refresh) = refresh
            && let Some((_, values)) = fields.iter_mut().find(|(name, _)| *name == "refresh_token")
        {
            *values = vec![refresh.to_owned()];
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        self.prove(&url, now, &mut fields, &mut headers)?;
        let (body, media) = if self.as_json {
            (as_json(fields), "application/json")
        } else {
            (as_form(&fields), "application/x-www-form-urlencoded")
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        Ok(Outgoing {
            method: Method::POST,
            url,
            headers,
            body: Some(body),
        })
    }

    fn prove(
        &self,
        url: &Url,
        now: Timestamp,
        fields: &mut Vec<(&'static str, Vec<String>)>,
        headers: &mut HeaderMap,
    ) -> Result<(), Problem> {
        let mut post = |name: &'static str, value: &str| fields.push((name, vec![value.into()]));
        let id = self.id.as_deref().unwrap_or_default();
        match &self.proof {
            Proof::Basic(secret) => {
                let mut pair = String::new();
                template::encode(id, &mut pair);
                pair.push(':');
                template::encode(secret, &mut pair);
                let value = authorization(&format!("Basic {}", STANDARD.encode(pair)));
                let value = value.ok_or_else(|| wrong("the client cannot be written"))?;
                headers.insert(AUTHORIZATION, value);
                return Ok(());
            }
            Proof::None => {}
            Proof::Post(secret) => post("client_secret", secret),
            Proof::Assertion(assertion) => {
                post("client_assertion_type", ASSERTION_TYPE);
                post("client_assertion", assertion);
            }
            Proof::Signed(key, algorithm) => {
                post("client_assertion_type", ASSERTION_TYPE);
                post("client_assertion", &sign(id, url, now, (key, *algorithm))?);
            }
        }
        if self.id.is_some() {
            post("client_id", id);
        }
        Ok(())
    }

    /// Reads the server's answer.
    pub(super) fn token(&self, answer: &[u8], now: Timestamp) -> Result<Token, Problem> {
        let refused = |detail: &str| Problem::new(ProblemKind::Authentication, detail);
        let answer: Value = serde_json::from_slice(answer)
            .map_err(|_| refused("the authorization server's answer is not JSON"))?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let token = text("access_token")
            .ok_or_else(|| refused("the authorization server's answer has no access_token"))?;
        if !text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer")) {
            return Err(refused("the authorization server gives no bearer tokens"));
        }
        if !self.issuers.is_empty() && !issuer(token).is_some_and(|it| self.issuers.contains(&it)) {
            return Err(refused(
                "the token was issued by none of the policy's 'issuers'",
            ));
        }
        let header = authorization(&format!("Bearer {token}"))
            .ok_or_else(|| refused("the token contains characters that a header cannot carry"))?;
        let age = match answer.get("expires_in") {
            Some(Value::Number(seconds)) => seconds.as_i64(),
            Some(Value::String(seconds)) => seconds.parse().ok(),
            _ => None,
        };
        let age = age.map_or(AGE_DEFAULT, |seconds| {
            SignedDuration::from_secs(seconds.clamp(0, AGE_MAX.as_secs()))
        });
        Ok(Token {
            header,
            until: now + (age - MARGIN_MAX.min(age / 5)),
            refresh: text("refresh_token").map(str::to_owned),
        })
    }

    /// Reads the address for tokens from the authority's description of itself.
    pub(super) fn discovered(&self, document: &Url, answer: &[u8]) -> Result<Url, Problem> {
        let Server::Discovered { issuer, .. } = &self.server else {
            return Err(wrong("the authority is not to be discovered"));
        };
        let answer: Value = serde_json::from_slice(answer)
            .map_err(|_| wrong("the authority's description is not JSON"))?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let named = text("issuer").unwrap_or_default();
        let is_it = named.trim_end_matches('/') == issuer.as_str();
        if !is_it && !self.issuers.iter().any(|known| known == named) {
            return Err(wrong(
                "the authority's description names another issuer; add it to 'issuers' if it is meant",
            ));
        }
        let endpoint = text("token_endpoint")
            .ok_or_else(|| wrong("the authority's description has no token_endpoint"))?;
        let url = parse(endpoint)?;
        if document.scheme() == "https" && url.scheme() != "https" {
            return Err(wrong("the authority gives tokens without TLS"));
        }
        Ok(url)
    }
}

/// Reads texts of an object that may be absent.
struct Settings<'s> {
    of: Option<&'s Map<String, Value>>,
}

impl Settings<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let value = self.of?.get(name)?.as_str()?;
        Some(value.to_owned())
    }

    fn needed(&self, name: &str, what: &str) -> Result<String, Problem> {
        self.text(name)
            .ok_or_else(|| wrong(format!("{what} needs the text '{name}'")))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Problem> {
        let list = match self.of.and_then(|of| of.get(name)) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(wrong(format!("'{name}' of the policy must be a list"))),
        };
        let texts = list.iter().map(|one| one.as_str().map(str::to_owned));
        texts
            .collect::<Option<_>>()
            .ok_or_else(|| wrong(format!("'{name}' of the policy must be texts")))
    }
}

fn server(policy: &Settings<'_>, scheme: Scheme) -> Result<Server, Problem> {
    let authority = policy.needed("authority", "oauth2 and oidc authentication")?;
    let authority = authority.trim_end_matches('/');
    match scheme {
        Scheme::OAuth2 => {
            let endpoints = policy.of.and_then(|of| of.get("endpoints"));
            let path = endpoints.and_then(|endpoints| endpoints.get("token"));
            let path = path.and_then(Value::as_str).unwrap_or("/oauth2/token");
            let path = path.trim_start_matches('/');
            parse(&format!("{authority}/{path}")).map(Server::Known)
        }
        Scheme::Oidc => {
            let issuer = authority.strip_suffix(WELL_KNOWN).unwrap_or(authority);
            Ok(Server::Discovered {
                document: parse(&format!("{issuer}{WELL_KNOWN}"))?,
                issuer: issuer.to_owned(),
            })
        }
    }
}

fn fields(policy: &Settings<'_>) -> Result<Vec<(&'static str, Vec<String>)>, Problem> {
    let mut fields = Vec::new();
    let mut add = |name, value: String| fields.push((name, vec![value]));
    let grant = policy.needed("grant", "oauth2 and oidc authentication")?;
    let token = |whose: &str| Settings {
        of: policy
            .of
            .and_then(|of| of.get(whose))
            .and_then(Value::as_object),
    };
    let (subject, actor) = (token("subject"), token("actor"));
    match grant.as_str() {
        "client_credentials" => {}
        "password" => {
            add("username", policy.needed("username", "the password grant")?);
            add("password", policy.needed("password", "the password grant")?);
        }
        "refresh_token" => add(
            "refresh_token",
            subject.needed("token", "'subject' of the refresh_token grant")?,
        ),
        "urn:ietf:params:oauth:grant-type:token-exchange" => {
            let what = "'subject' of a token exchange";
            add("subject_token", subject.needed("token", what)?);
            add("subject_token_type", subject.needed("type", what)?);
            if actor.of.is_some() {
                let what = "'actor' of a token exchange";
                add("actor_token", actor.needed("token", what)?);
                add("actor_token_type", actor.needed("type", what)?);
            }
        }
        "authorization_code" => {
            return Err(wrong(
                "the authorization_code grant needs a person at a browser; use client_credentials",
            ));
        }
        _ => return Err(wrong("the policy's 'grant' is none that is known")),
    }
    add("grant_type", grant);
    let scopes = policy.texts("scopes")?;
    if !scopes.is_empty() {
        add("scope", scopes.join(" "));
    }
    let audiences = policy.texts("audiences")?;
    if !audiences.is_empty() {
        fields.push(("audience", audiences));
    }
    Ok(fields)
}

fn proof(client: &Settings<'_>) -> Result<Proof, Problem> {
    let method = client.text("authentication");
    let secret = || client.needed("secret", "'client' of the policy");
    if method.as_deref().is_some_and(|method| method != "none") {
        client.needed("id", "'client' of the policy")?;
    }
    Ok(match method.as_deref() {
        Some("none") => Proof::None,
        Some("client_secret_basic") => Proof::Basic(secret()?),
        Some("client_secret_post") => Proof::Post(secret()?),
        Some("client_secret_jwt") => {
            let key = EncodingKey::from_secret(secret()?.as_bytes());
            Proof::Signed(Box::new(key), Algorithm::HS256)
        }
        Some("private_key_jwt") => match client.text("assertion") {
            Some(assertion) => Proof::Assertion(assertion),
            None => private_key(&secret()?)?,
        },
        Some(_) => return Err(wrong("the client's 'authentication' is none that is known")),
        // The default is to post the secret; a public client has none.
        None => client.text("secret").map_or(Proof::None, Proof::Post),
    })
}

fn private_key(pem: &str) -> Result<Proof, Problem> {
    let pem = pem.as_bytes();
    let (key, algorithm) = EncodingKey::from_rsa_pem(pem)
        .map(|key| (key, Algorithm::RS256))
        .or_else(|_| EncodingKey::from_ec_pem(pem).map(|key| (key, Algorithm::ES256)))
        .or_else(|_| EncodingKey::from_ed_pem(pem).map(|key| (key, Algorithm::EdDSA)))
        .map_err(|_| {
            wrong("private_key_jwt needs 'assertion', or a private key in PEM form as 'secret'")
        })?;
    Ok(Proof::Signed(Box::new(key), algorithm))
}

fn sign(
    id: &str,
    url: &Url,
    now: Timestamp,
    (key, algorithm): (&EncodingKey, Algorithm),
) -> Result<String, Problem> {
    let mut random = [0_u8; 16];
    SystemEntropy.fill(&mut random);
    let unique = random.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text takes whatever is written");
        text
    });
    let claims = json!({
        "iss": id,
        "sub": id,
        "aud": url.as_str(),
        "jti": unique,
        "iat": now.as_second(),
        "exp": (now + ASSERTION_AGE).as_second(),
    });
    // Where the host compiled in both backends, one has to be chosen; whoever chose
    // before has chosen for all.
    let _chosen = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    jsonwebtoken::encode(&Header::new(algorithm), &claims, key)
        .map_err(|_| wrong("the client's key cannot sign an assertion"))
}

/// Reads who issued a token, if it is a JWT. Nothing is verified: it came from the
/// authority itself.
fn issuer(token: &str) -> Option<String> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("iss")?.as_str().map(str::to_owned)
}

fn as_json(fields: Vec<(&'static str, Vec<String>)>) -> Vec<u8> {
    let fields = fields.into_iter().map(|(name, mut values)| {
        let value = if values.len() == 1 {
            values.pop().map_or(Value::Null, Value::String)
        } else {
            json!(values)
        };
        (name.to_owned(), value)
    });
    Value::Object(fields.collect()).to_string().into_bytes()
}

fn as_form(fields: &[(&'static str, Vec<String>)]) -> Vec<u8> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, values) in fields {
        for value in values {
            form.append_pair(name, value);
        }
    }
    form.finish().into_bytes()
}
