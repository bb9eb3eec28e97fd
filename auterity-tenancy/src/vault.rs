//! What the processes of one host share: sealed in the control database, under a key
//! that is not in it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::connection::ControlDb;
use crate::error::Error;
use crate::secret::Secret;
use crate::store::vault::{vault_fetch, vault_lock_in_tx, vault_put_in_tx};

const KEY_BYTES: usize = 32;
/// Stands before a name in what each seal authenticates, so that sealed texts cannot be
/// exchanged for one another.
const PURPOSE: &str = "auterity.vault.1:";

/// Keeps secrets of the host in the control database, for processes that share it.
///
/// Each is sealed with AES-256-GCM under a key that the host gives: whoever reads the
/// database or its backup learns nothing. Clones share everything.
#[derive(Clone)]
pub struct Vault {
    db: ControlDb,
    seal: Arc<Seal>,
}

struct Seal(RandomizedNonceKey);

impl Vault {
    /// Opens the vault of a control database, whose tables must exist. The key is 64
    /// hexadecimal digits (`openssl rand -hex 32`), the same for all processes.
    ///
    /// # Errors
    /// `Internal` when the key has another form.
    pub fn new(db: ControlDb, key: &Secret) -> Result<Self, Error> {
        let bytes = from_hex(key.expose().trim())
            .ok_or_else(|| Error::internal("the vault's key must be 64 hexadecimal digits"))?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes.as_slice())
            .map_err(|_| Error::internal("the vault's key is refused"))?;
        Ok(Self {
            db,
            seal: Arc::new(Seal(key)),
        })
    }

    /// Gives a secret, which is made and kept if it is not there. Of several processes
    /// that make it at once, one wins, and all get the same.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be reached; `Internal` when the secret was
    /// sealed under another key; what `make` says.
    ///
    /// # Cancel safety
    /// A change that has begun goes on to its end when the future is dropped.
    pub async fn kept<F>(
        &self,
        name: &'static str,
        now: Timestamp,
        make: F,
    ) -> Result<Secret, Error>
    where
        F: FnOnce() -> Result<Secret, Error> + Send + 'static,
    {
        match self.fetch(name).await? {
            Some(secret) => Ok(secret),
            None => {
                self.change(name, now, |kept| kept.map_or_else(make, Ok))
                    .await
            }
        }
    }

    /// Gives a secret if it is there.
    pub(crate) async fn fetch(&self, name: &'static str) -> Result<Option<Secret>, Error> {
        let sealed = self
            .db
            .read("vault.fetch", move |tx| Box::pin(vault_fetch(tx, name)));
        match sealed.await? {
            Some(sealed) => self.seal.open(name, sealed).map(Some),
            None => Ok(None),
        }
    }

    /// Replaces a secret by what follows from it, while no other process does, and
    /// gives the new one.
    pub(crate) async fn change<F>(
        &self,
        name: &'static str,
        now: Timestamp,
        change: F,
    ) -> Result<Secret, Error>
    where
        F: FnOnce(Option<Secret>) -> Result<Secret, Error> + Send + 'static,
    {
        let seal = Arc::clone(&self.seal);
        let (backend, schema) = (self.db.backend(), self.db.schema().to_owned());
        let work = self.db.write("vault.change", move |tx| {
            Box::pin(async move {
                vault_lock_in_tx(tx, backend, &schema).await?;
                let kept = match vault_fetch(tx, name).await? {
                    Some(sealed) => Some(seal.open(name, sealed)?),
                    None => None,
                };
                let before = kept.clone();
                let after = change(kept)?;
                let same = before.is_some_and(|before| before.expose() == after.expose());
                if !same {
                    vault_put_in_tx(tx, name, seal.close(name, &after)?, now).await?;
                }
                Ok(after)
            })
        });
        work.await
    }
}

impl Seal {
    fn close(&self, name: &str, secret: &Secret) -> Result<Vec<u8>, Error> {
        // With room for the tag, so that no unsealed copy is left behind by growth.
        let mut text = Vec::with_capacity(secret.expose().len() + AES_256_GCM.tag_len());
        text.extend_from_slice(secret.expose().as_bytes());
        let nonce = self
            .0
            .seal_in_place_append_tag(about(name), &mut text)
            .map_err(|_| Error::internal("a secret cannot be sealed"))?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Ok(sealed)
    }

    fn open(&self, name: &str, sealed: Vec<u8>) -> Result<Secret, Error> {
        let refused = || {
            Error::internal(
                "what the control database keeps for its processes was sealed under another key; give this process the key of the others",
            )
            .with("name", name)
        };
        let mut sealed = Zeroizing::new(sealed);
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let text = self
            .0
            .open_in_place(nonce, about(name), text)
            .map_err(|_| refused())?;
        let text = std::str::from_utf8(text).map_err(|_| refused())?;
        Ok(Secret::from(text))
    }
}

fn about(name: &str) -> Aad<String> {
    Aad::from(format!("{PURPOSE}{name}"))
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    if text.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    let digit = |letter: u8| char::from(letter).to_digit(16);
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(bytes)
}

impl fmt::Debug for Vault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Vault")
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}
