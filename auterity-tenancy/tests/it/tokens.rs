//! Hostile access tokens.

use std::sync::Arc;

use auterity_core::clock::ManualClock;
use auterity_tenancy::{
    ControlDb, ControlOptions, ErrorKind, Identity, IdentityOptions, KeyRing, Secret, migrate,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::world::sign_up;

struct Forge {
    identity: Identity,
    der: Vec<u8>,
    kid: String,
    claims: Value,
    good: String,
    _folder: tempfile::TempDir,
}

fn new_key() -> Vec<u8> {
    let pair = Ed25519KeyPair::generate().unwrap();
    pair.to_pkcs8v1().unwrap().as_ref().to_vec()
}

pub(crate) fn pem(der: &[u8]) -> Secret {
    let body = STANDARD.encode(der);
    Secret::from(format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    ))
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

impl Forge {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap()));
        let now = auterity_core::clock::Clock::now(clock.as_ref());
        let options = ControlOptions::sqlite(folder.path().join("control.db"));
        let db = ControlDb::connect(options).await.unwrap();
        migrate(&db, now).await.unwrap();
        let der = new_key();
        let keys = KeyRing::from_pem(&pem(&der), clock.as_ref()).unwrap();
        let identity = Identity::new(&IdentityOptions::default(), db, clock, keys).unwrap();
        let up = identity.sign_up(sign_up("ada"), None).await.unwrap();
        let good = up.tokens.access_token.expose().to_owned();
        Self {
            identity,
            der,
            kid: part(&good, 0)["kid"].as_str().unwrap().to_owned(),
            claims: part(&good, 1),
            good,
            _folder: folder,
        }
    }

    fn header(&self) -> Header {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.kid.clone());
        header
    }

    /// Signs changed claims with the right key.
    fn with_claims(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        encode(
            &self.header(),
            &claims,
            &EncodingKey::from_ed_der(&self.der),
        )
        .unwrap()
    }

    /// Signs the right claims under a changed header with the right key.
    fn with_header(&self, change: impl FnOnce(&mut Header)) -> String {
        let mut header = self.header();
        change(&mut header);
        encode(&header, &self.claims, &EncodingKey::from_ed_der(&self.der)).unwrap()
    }

    /// Puts a token together by hand and signs it with the right key.
    fn raw(&self, header: &str, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let pair = Ed25519KeyPair::from_pkcs8(&self.der).unwrap();
        let signature = pair.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn assert_refused(&self, name: &str, token: &str) {
        match self.identity.authenticate(token) {
            Ok(_) => panic!("{name} was accepted"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{name}");
                assert!(!error.to_string().contains("exp") || !error.to_string().contains("kid"));
            }
        }
    }
}

#[tokio::test]
async fn tokens_carry_the_agreed_header_and_claims() {
    let forge = Forge::new().await;
    let header = part(&forge.good, 0);
    assert_eq!(
        header,
        json!({"typ": "at+jwt", "alg": "EdDSA", "kid": forge.kid})
    );
    let claims = forge.claims.as_object().unwrap();
    let names: Vec<_> = claims.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "iss", "aud", "sub", "tid", "sid", "role", "iat", "exp", "jti"
        ]
    );
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 600);
    // What the tests below forge from is itself accepted.
    forge
        .identity
        .authenticate(&forge.with_claims(|_| {}))
        .unwrap();
    let (header, claims) = (header.to_string(), forge.claims.to_string());
    forge
        .identity
        .authenticate(&forge.raw(&header, &claims))
        .unwrap();
}

#[tokio::test]
async fn other_algorithms_and_keys_are_refused() {
    let forge = Forge::new().await;
    let claims = URL_SAFE_NO_PAD.encode(forge.claims.to_string());
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": forge.kid}).to_string();
        let header = URL_SAFE_NO_PAD.encode(header);
        let signature = forge.good.rsplit('.').next().unwrap();
        forge.assert_refused(alg, &format!("{header}.{claims}."));
        forge.assert_refused(alg, &format!("{header}.{claims}.{signature}"));
    }
    let pair = Ed25519KeyPair::from_pkcs8(&forge.der).unwrap();
    let public = pair.public_key().as_ref();
    let x = URL_SAFE_NO_PAD.encode(public);
    for secret in [public, x.as_bytes(), forge.kid.as_bytes(), b""] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let mut header = forge.header();
            header.alg = algorithm;
            let token = encode(&header, &forge.claims, &EncodingKey::from_secret(secret)).unwrap();
            forge.assert_refused("hmac with the public key", &token);
        }
    }
    let other = EncodingKey::from_ed_der(&new_key());
    let token = encode(&forge.header(), &forge.claims, &other).unwrap();
    forge.assert_refused("other key", &token);
}

#[tokio::test]
async fn key_ids_and_header_tricks_are_refused() {
    let forge = Forge::new().await;
    let long = "k".repeat(10_000);
    for kid in [
        "",
        "../../etc/passwd",
        "' OR 1=1 --",
        "other",
        &long,
        "\u{0}",
    ] {
        let token = forge.with_header(|header| header.kid = Some(kid.to_owned()));
        forge.assert_refused(kid, &token);
    }
    forge.assert_refused("no kid", &forge.with_header(|header| header.kid = None));
    for typ in [None, Some("JWT"), Some("at+JWT"), Some("id+jwt"), Some("")] {
        let token = forge.with_header(|header| header.typ = typ.map(str::to_owned));
        forge.assert_refused("typ", &token);
    }
    let url = "https://attacker.example/keys".to_owned();
    forge.assert_refused(
        "jku",
        &forge.with_header(|header| header.jku = Some(url.clone())),
    );
    forge.assert_refused("x5u", &forge.with_header(|header| header.x5u = Some(url)));
    let crit = vec!["exp".to_owned()];
    forge.assert_refused(
        "crit",
        &forge.with_header(|header| header.crit = Some(crit)),
    );
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    let forge = Forge::new().await;
    let now = forge.claims["iat"].as_i64().unwrap();
    for (name, value) in [
        ("iss", json!("someone-else")),
        ("iss", json!(["auterity", "someone-else"])),
        ("aud", json!("another-api")),
        ("aud", json!(["auterity"])),
        ("aud", json!(["another-api", "auterity"])),
        ("exp", json!(now - 5)),
        ("exp", json!(now + 601)),
        ("exp", json!("2099")),
        ("exp", json!(i64::MAX)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("iat", json!(now + 6)),
        ("sub", json!("ten_00000000000000000000000000")),
        ("tid", json!("*")),
        ("tid", json!("usr_00000000000000000000000000")),
        ("sid", json!("")),
        ("role", json!("root")),
        ("role", json!("Owner")),
        ("role", json!(["owner"])),
    ] {
        let token = forge.with_claims(|claims| claims[name] = value.clone());
        forge.assert_refused(&format!("{name}={value}"), &token);
    }
    for name in ["iss", "aud", "sub", "tid", "sid", "role", "iat", "exp"] {
        let missing = forge.with_claims(|claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        forge.assert_refused(&format!("without {name}"), &missing);
        let null = forge.with_claims(|claims| claims[name] = Value::Null);
        forge.assert_refused(&format!("{name}=null"), &null);
    }
    let leeway = forge.with_claims(|claims| claims["exp"] = json!(now - 4));
    forge.identity.authenticate(&leeway).unwrap();
    let doubled = forge
        .claims
        .to_string()
        .replacen('{', r#"{"role":"viewer","#, 1);
    let header = part(&forge.good, 0).to_string();
    forge.assert_refused("duplicate claim", &forge.raw(&header, &doubled));
}

#[tokio::test]
async fn damaged_tokens_are_refused() {
    let forge = Forge::new().await;
    let good = &forge.good;
    for length in 0..good.len() {
        forge.assert_refused("truncated", &good[..length]);
    }
    let parts: Vec<_> = good.split('.').collect();
    for token in [
        format!("{good}="),
        format!("{good}."),
        format!(".{good}"),
        format!(" {good}"),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[1], parts[0], parts[2]),
        format!("{good}{}", "A".repeat(10_000)),
        "é.é.é".to_owned(),
    ] {
        forge.assert_refused("rearranged", &token);
    }
    let owner = forge.claims.to_string().replace("owner", "admin");
    let swapped = format!(
        "{}.{}.{}",
        parts[0],
        URL_SAFE_NO_PAD.encode(owner),
        parts[2]
    );
    forge.assert_refused("changed claims", &swapped);
}
