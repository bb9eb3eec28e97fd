use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use auterity_core::clock::Clock;
use jiff::Timestamp;

use super::keys::{
    Block, Jwks, Keys, PREVIOUS_MAX, PublicKey, RetiredKey, SigningKey, Terms, pem_blocks,
};
use super::{key_document, key_file};
use crate::error::Error;
use crate::secret::Secret;
use crate::vault::Vault;

/// The name of the keys in a vault.
const IN_VAULT: &str = "signing-keys";
/// How long processes that share a vault may take to see a new key. The host asks them
/// to look about once a minute.
const LEAD: Duration = Duration::from_mins(10);

/// The Ed25519 keys that sign and verify access tokens.
///
/// One key signs; keys it replaced verify until the tokens they signed have ended.
#[derive(Clone)]
pub struct KeyRing {
    inner: Arc<Inner>,
}

struct Inner {
    keys: RwLock<Arc<Keys>>,
    home: Home,
}

/// Where the keys are kept.
enum Home {
    /// With the host, as text.
    Host,
    /// In a file of this process.
    File(PathBuf),
    /// In the database that several processes share.
    Vault(Vault),
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
                let keys = Keys::generate(clock.now())?;
                key_file::write(path, &keys)?;
                Ok(keys)
            }
        })?;
        Ok(Self::new(keys, Home::File(path.to_owned())))
    }

    /// Loads the keys from a vault, or makes one key in it: for processes that share a
    /// control database. Several may start at once.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be reached; `Internal` when what the vault
    /// holds was sealed under another key or is damaged.
    pub async fn in_vault(vault: Vault, clock: &dyn Clock) -> Result<Self, Error> {
        let now = clock.now();
        let make = move || key_document::encode(&Keys::generate(now)?);
        let text = vault.kept(IN_VAULT, now, make).await?;
        Ok(Self::new(in_document(&text)?, Home::Vault(vault)))
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
        let keys = Keys {
            current,
            next: None,
            previous,
        };
        Ok(Self::new(keys, Home::Host))
    }

    /// Signs with a new key from now on. The old one verifies for `keep` longer;
    /// its private part is destroyed. Blocks on the file system.
    ///
    /// # Errors
    /// `Internal` when the file cannot be written, or when the keys are not in a file:
    /// those that came as text are rotated where they are kept, those in a vault by
    /// [`Identity::rotate_keys`](crate::Identity::rotate_keys).
    pub fn rotate(&self, now: Timestamp, keep: Duration) -> Result<(), Error> {
        let Home::File(path) = &self.inner.home else {
            return Err(Error::internal(
                "only keys in a file can be rotated here; give a new text, or let the identity rotate those in a vault",
            ));
        };
        let keys = key_file::locked(path, || {
            let old = key_file::read(path)?.ok_or_else(|| {
                Error::internal("the key file is gone").with("path", path.display())
            })?;
            let keys = old.replaced(now, keep)?;
            key_file::write(path, &keys)?;
            Ok(keys)
        })?;
        tracing::info!(kid = keys.current.public.id, "signing key rotated");
        self.adopt(keys);
        Ok(())
    }

    /// Takes the steps that are due for keys in a vault, once for all processes, and
    /// adopts what any of them did. A successor is published ten minutes before it
    /// signs.
    pub(crate) async fn advance(
        &self,
        now: Timestamp,
        (lifetime, keep): (Duration, Duration),
    ) -> Result<(), Error> {
        let Home::Vault(vault) = &self.inner.home else {
            return Ok(());
        };
        let terms = Terms {
            lifetime,
            keep,
            lead: LEAD,
        };
        let text = vault
            .change(IN_VAULT, now, move |kept| {
                let keys = match &kept {
                    Some(text) => in_document(text)?,
                    None => Keys::generate(now)?,
                };
                let (keys, changed) = keys.advanced(now, &terms)?;
                match kept {
                    Some(text) if !changed => Ok(text),
                    Some(_) | None => key_document::encode(&keys),
                }
            })
            .await?;
        self.adopt(in_document(&text)?);
        Ok(())
    }

    /// Adopts what other processes did to keys in a vault.
    pub(crate) async fn reload(&self) -> Result<(), Error> {
        if let Home::Vault(vault) = &self.inner.home
            && let Some(text) = vault.fetch(IN_VAULT).await?
        {
            self.adopt(in_document(&text)?);
        }
        Ok(())
    }

    /// Gives the keys that verify tokens at a time, the signing one first.
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> Jwks {
        Jwks {
            keys: self.keys().public(now).map(PublicKey::to_jwk).collect(),
        }
    }

    /// Tells whether this ring can and should rotate.
    pub(crate) fn is_due(&self, now: Timestamp, lifetime: Duration) -> bool {
        let keys = self.keys();
        match (&self.inner.home, &keys.next) {
            (Home::Host, _) => false,
            (Home::Vault(_), Some(next)) => next.signs_from <= now,
            (Home::File(_) | Home::Vault(_), _) => keys.current.is_older(now, lifetime),
        }
    }

    pub(crate) fn is_in_vault(&self) -> bool {
        matches!(self.inner.home, Home::Vault(_))
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        let keys = self
            .inner
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&keys)
    }

    fn adopt(&self, keys: Keys) {
        *self
            .inner
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn new(keys: Keys, home: Home) -> Self {
        // With both backends compiled in, jsonwebtoken panics unless one is chosen.
        // Somebody may have chosen before: then that choice stands.
        let _chosen = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        Self {
            inner: Arc::new(Inner {
                keys: RwLock::new(Arc::new(keys)),
                home,
            }),
        }
    }
}

fn in_document(text: &Secret) -> Result<Keys, Error> {
    key_document::decode(text.expose())
        .ok_or_else(|| Error::internal("the signing keys in the control database are damaged"))
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyRing")
            .field("kid", &self.keys().current.public.id)
            .finish_non_exhaustive()
    }
}
