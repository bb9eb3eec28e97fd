use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use auterity_core::clock::Clock;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::key_file;
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
const PREVIOUS_MAX: usize = 8;

/// The Ed25519 keys that sign and verify access tokens.
///
/// One key signs; keys it replaced verify until the tokens they signed have ended.
#[derive(Clone)]
pub struct KeyRing {
    inner: Arc<Inner>,
}

struct Inner {
    keys: RwLock<Arc<Keys>>,
    file: Option<PathBuf>,
}

pub(crate) struct Keys {
    pub(crate) current: SigningKey,
    pub(crate) previous: Vec<RetiredKey>,
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

impl KeyRing {
    /// Loads the keys from a file, or makes one key and the file (mode 0600) if it
    /// is missing. Blocks on the file system.
    ///
    /// # Errors
    /// `Internal` when the file cannot be read or written, is readable by others,
    /// or is damaged.
    pub fn load_or_create(path: impl AsRef<Path>, clock: &dyn Clock) -> Result<Self, Error> {
        let path = path.as_ref();
        let keys = key_file::locked(path, || match key_file::read(path)? {
            Some(keys) => Ok(keys),
            None => {
                let keys = Keys {
                    current: SigningKey::generate(clock.now())?,
                    previous: Vec::new(),
                };
                key_file::write(path, &keys)?;
                Ok(keys)
            }
        })?;
        Ok(Self::new(keys, Some(path.to_owned())))
    }

    /// Takes keys as PEM text, for several nodes that share them: a PKCS#8 private
    /// key that signs, then any private or public keys that still verify. All must
    /// be Ed25519 (`openssl genpkey -algorithm ed25519`).
    ///
    /// # Errors
    /// `Internal` when the text holds anything else.
    pub fn from_pem(pem: &Secret, clock: &dyn Clock) -> Result<Self, Error> {
        let mut blocks = pem_blocks(pem.expose())?.into_iter();
        let current = match blocks.next() {
            Some(Block::Private(der)) => SigningKey::from_pkcs8(&der, clock.now())?,
            Some(Block::Public(_)) | None => {
                return Err(Error::internal(
                    "the first key must be an Ed25519 private key in PEM form",
                ));
            }
        };
        let mut previous = Vec::new();
        for block in blocks {
            let public = match block {
                Block::Private(der) => SigningKey::from_pkcs8(&der, clock.now())?.public,
                Block::Public(x) => PublicKey::new(&x),
            };
            previous.push(RetiredKey {
                public,
                valid_until: None,
            });
        }
        if PREVIOUS_MAX < previous.len() {
            return Err(Error::internal("at most 8 previous keys may be given"));
        }
        Ok(Self::new(Keys { current, previous }, None))
    }

    /// Signs with a new key from now on. The old one verifies for `keep` longer;
    /// its private part is destroyed. Blocks on the file system.
    ///
    /// # Errors
    /// `Internal` when the file cannot be written, or when the keys came as text:
    /// those are rotated where they are kept.
    pub fn rotate(&self, now: Timestamp, keep: Duration) -> Result<(), Error> {
        let Some(path) = &self.inner.file else {
            return Err(Error::internal(
                "keys given as text cannot be rotated here; give a new text",
            ));
        };
        let keys = key_file::locked(path, || {
            let old = key_file::read(path)?.ok_or_else(|| {
                Error::internal("the key file is gone").with("path", path.display())
            })?;
            let valid_until = now.checked_add(keep).map_err(|source| {
                Error::internal("the time is out of range").with_source(source)
            })?;
            let mut previous = vec![RetiredKey {
                public: old.current.public,
                valid_until: Some(valid_until),
            }];
            previous.extend(old.previous.into_iter().filter(|key| key.is_valid(now)));
            previous.truncate(PREVIOUS_MAX);
            let keys = Keys {
                current: SigningKey::generate(now)?,
                previous,
            };
            key_file::write(path, &keys)?;
            Ok(keys)
        })?;
        tracing::info!(kid = keys.current.public.id, "signing key rotated");
        *self
            .inner
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// Gives the keys that verify tokens at a time, the signing one first.
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> Jwks {
        let keys = self.keys();
        let previous = keys.previous.iter().filter(|key| key.is_valid(now));
        let all = std::iter::once(&keys.current.public).chain(previous.map(|key| &key.public));
        Jwks {
            keys: all.map(PublicKey::to_jwk).collect(),
        }
    }

    /// Tells whether this ring can and should rotate.
    pub(crate) fn is_due(&self, now: Timestamp, lifetime: Duration) -> bool {
        let age = now.duration_since(self.keys().current.created_at);
        self.inner.file.is_some() && Duration::try_from(age).is_ok_and(|age| lifetime <= age)
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        let keys = self
            .inner
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keys)
    }

    fn new(keys: Keys, file: Option<PathBuf>) -> Self {
        // With both backends compiled in, jsonwebtoken panics unless one is chosen.
        // Somebody may have chosen before: then that choice stands.
        let _chosen = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        Self {
            inner: Arc::new(Inner {
                keys: RwLock::new(Arc::new(keys)),
                file,
            }),
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyRing")
            .field("kid", &self.keys().current.public.id)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Finds one of our own keys by its id, if it is valid at the time.
    pub(crate) fn verifying(&self, id: &str, now: Timestamp) -> Option<&DecodingKey> {
        if self.current.public.id == id {
            return Some(&self.current.public.verifying);
        }
        self.previous
            .iter()
            .find(|key| key.public.id == id && key.is_valid(now))
            .map(|key| &key.public.verifying)
    }
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

    fn from_pkcs8(der: &[u8], created_at: Timestamp) -> Result<Self, Error> {
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

    fn to_jwk(&self) -> Jwk {
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

enum Block {
    Private(Zeroizing<Vec<u8>>),
    Public([u8; KEY_BYTES]),
}

/// Reads the blocks of a PEM text (RFC 7468); text around them is a comment.
fn pem_blocks(text: &str) -> Result<Vec<Block>, Error> {
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
