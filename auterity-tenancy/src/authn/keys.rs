//! Signing keys: what they are, how they follow one another, and their forms.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::random;
use crate::secret::Secret;

/// DER of a PKCS#8 version 1 Ed25519 key up to its 32-byte seed (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// DER of an Ed25519 public key up to its 32 bytes (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const KEY_BYTES: usize = 32;
pub(crate) const PREVIOUS_MAX: usize = 8;

/// One key signs; its successor, if there is one, is known before it signs; keys that
/// were replaced verify until the tokens they signed have ended.
pub(crate) struct Keys {
    pub(crate) current: SigningKey,
    pub(crate) next: Option<NextKey>,
    pub(crate) previous: Vec<RetiredKey>,
}

/// A key that signs from a time on, so that everybody knows it before its first token.
pub(crate) struct NextKey {
    pub(crate) key: SigningKey,
    pub(crate) signs_from: Timestamp,
}

pub(crate) struct SigningKey {
    pub(crate) pem: Secret,
    pub(crate) created_at: Timestamp,
    pub(crate) public: PublicKey,
    pub(crate) signing: EncodingKey,
}

pub(crate) struct RetiredKey {
    pub(crate) public: PublicKey,
    /// Without an end for keys that an operator gave and will take away.
    pub(crate) valid_until: Option<Timestamp>,
}

#[derive(Clone)]
pub(crate) struct PublicKey {
    pub(crate) id: String,
    pub(crate) x: String,
    pub(crate) verifying: DecodingKey,
}

/// The published keys, as `/.well-known/jwks.json` answers them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwks {
    /// The keys that verify tokens now.
    pub keys: Vec<Jwk>,
}

/// One published key (RFC 8037); it has no private part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwk {
    kty: &'static str,
    crv: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
    x: String,
}

impl Keys {
    /// Makes a first key.
    pub(crate) fn generate(now: Timestamp) -> Result<Self, Error> {
        Ok(Self {
            current: SigningKey::generate(now)?,
            next: None,
            previous: Vec::new(),
        })
    }

    /// Gives the key that signs at a time.
    pub(crate) fn signing(&self, now: Timestamp) -> &SigningKey {
        match &self.next {
            Some(next) if next.signs_from <= now => &next.key,
            Some(_) | None => &self.current,
        }
    }

    /// Finds one of our own keys by its id, if it is valid at the time.
    pub(crate) fn verifying(&self, id: &str, now: Timestamp) -> Option<&DecodingKey> {
        self.public(now)
            .find(|key| key.id == id)
            .map(|key| &key.verifying)
    }

    /// Gives the keys that verify tokens at a time, the signing one first.
    pub(crate) fn public(&self, now: Timestamp) -> impl Iterator<Item = &PublicKey> {
        let signing = &self.signing(now).public;
        let next = self.next.as_ref().map(|next| &next.key.public);
        let others = std::iter::once(&self.current.public).chain(next);
        let previous = self.previous.iter().filter(move |key| key.is_valid(now));
        std::iter::once(signing)
            .chain(others.filter(|key| key.id != signing.id))
            .chain(previous.map(|key| &key.public))
    }

    /// Signs with a new key from now on; the old one verifies for `keep` longer.
    pub(crate) fn replaced(self, now: Timestamp, keep: Duration) -> Result<Self, Error> {
        let new = SigningKey::generate(now)?;
        self.succeeded_by(new, (now, now), keep)
    }

    /// Takes the steps that are due: a successor whose time has come takes over, and a
    /// key of that age gets a successor, which signs after `lead`. Tells whether
    /// anything changed.
    pub(crate) fn advanced(self, now: Timestamp, terms: &Terms) -> Result<(Self, bool), Error> {
        let mut keys = self;
        let mut changed = false;
        if let Some(next) = keys.next.take_if(|next| next.signs_from <= now) {
            keys = keys.succeeded_by(next.key, (now, next.signs_from), terms.keep)?;
            changed = true;
        }
        if keys.next.is_none() && keys.current.is_older(now, terms.lifetime) {
            keys.next = Some(NextKey {
                key: SigningKey::generate(now)?,
                signs_from: after(now, terms.lead)?,
            });
            changed = true;
        }
        Ok((keys, changed))
    }

    fn succeeded_by(
        self,
        new: SigningKey,
        (now, since): (Timestamp, Timestamp),
        keep: Duration,
    ) -> Result<Self, Error> {
        let mut previous = vec![RetiredKey {
            public: self.current.public,
            valid_until: Some(after(since, keep)?),
        }];
        previous.extend(self.previous.into_iter().filter(|key| key.is_valid(now)));
        previous.truncate(PREVIOUS_MAX);
        Ok(Self {
            current: new,
            next: self.next,
            previous,
        })
    }
}

/// When keys follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// The age at which a key gets a successor.
    pub(crate) lifetime: Duration,
    /// How long a replaced key verifies.
    pub(crate) keep: Duration,
    /// How long a successor is known before it signs.
    pub(crate) lead: Duration,
}

fn after(time: Timestamp, span: Duration) -> Result<Timestamp, Error> {
    time.checked_add(span)
        .map_err(|source| Error::internal("the time is out of range").with_source(source))
}

impl SigningKey {
    pub(crate) fn generate(now: Timestamp) -> Result<Self, Error> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + KEY_BYTES));
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(random::bytes::<KEY_BYTES>().as_slice());
        Self::from_pkcs8(&der, now)
    }

    pub(crate) fn from_pem(pem: &Secret, created_at: Timestamp) -> Result<Self, Error> {
        match pem_blocks(pem.expose())?.as_slice() {
            [Block::Private(der)] => Self::from_pkcs8(der, created_at),
            _ => Err(Error::internal("one private key in PEM form is expected")),
        }
    }

    /// Tells whether the key has reached an age.
    pub(crate) fn is_older(&self, now: Timestamp, age: Duration) -> bool {
        let reached = Duration::try_from(now.duration_since(self.created_at));
        reached.is_ok_and(|reached| age <= reached)
    }

    pub(crate) fn from_pkcs8(der: &[u8], created_at: Timestamp) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|source| {
            Error::internal("a key is not an Ed25519 key in PKCS#8 form").with("reason", source)
        })?;
        let mut x = [0_u8; KEY_BYTES];
        x.copy_from_slice(pair.public_key().as_ref());
        Ok(Self {
            pem: to_pem(der),
            created_at,
            public: PublicKey::new(&x),
            signing: EncodingKey::from_ed_der(der),
        })
    }
}

impl RetiredKey {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }
}

impl PublicKey {
    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let x = URL_SAFE_NO_PAD.encode(bytes);
        // The thumbprint of RFC 7638: members in this order, without blanks.
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self {
            id: URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)),
            x,
            verifying: DecodingKey::from_ed_der(bytes),
        }
    }

    pub(crate) fn from_x(x: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(x).ok()?;
        bytes.try_into().ok().map(|bytes| Self::new(&bytes))
    }

    pub(crate) fn to_jwk(&self) -> Jwk {
        Jwk {
            kty: "OKP",
            crv: "Ed25519",
            usage: "sig",
            alg: "EdDSA",
            kid: self.id.clone(),
            x: self.x.clone(),
        }
    }
}

pub(crate) enum Block {
    Private(Zeroizing<Vec<u8>>),
    Public([u8; KEY_BYTES]),
}

/// Reads the blocks of a PEM text (RFC 7468); text around them is a comment.
pub(crate) fn pem_blocks(text: &str) -> Result<Vec<Block>, Error> {
    let damaged = || Error::internal("the PEM text of a key is damaged");
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----").ok_or_else(damaged)?;
        let end = format!("-----END {label}-----");
        let (body, after) = body.split_once(end.as_str()).ok_or_else(damaged)?;
        let letters: Zeroizing<String> = Zeroizing::new(
            body.chars()
                .filter(|letter| !letter.is_whitespace())
                .collect(),
        );
        let der = Zeroizing::new(STANDARD.decode(letters.as_bytes()).map_err(|_| damaged())?);
        blocks.push(match label {
            "PRIVATE KEY" => Block::Private(der),
            "PUBLIC KEY" => Block::Public(
                der.strip_prefix(&SPKI_PREFIX)
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| Error::internal("a public key is not an Ed25519 key"))?,
            ),
            _ => {
                return Err(Error::internal(
                    "only blocks PRIVATE KEY and PUBLIC KEY are understood",
                ));
            }
        });
        rest = after;
    }
    Ok(blocks)
}

fn to_pem(der: &[u8]) -> Secret {
    // A key of 48 bytes fits one line.
    let body = Zeroizing::new(STANDARD.encode(der));
    Secret::from(format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        body.as_str()
    ))
}
