//! What the host does from time to time, and at its end.

use std::time::Duration;

use super::service::Identity;
use crate::error::Error;
use crate::store::sessions;

/// How many sessions one transaction of [`Identity::maintain`] deletes.
const PRUNE_BATCH: u64 = 500;

impl Identity {
    /// Waits for transactions under way, at most for the given time, and closes the
    /// database. The host calls it last.
    ///
    /// # Cancel safety
    /// May be called again.
    pub async fn close(&self, within: Duration) {
        self.inner.db.close(within).await;
    }

    /// Deletes sessions that have ended and replaces an old signing key. The host
    /// calls it about once an hour; it may run on several nodes at once. Gives the
    /// number of sessions deleted.
    ///
    /// # Errors
    /// `Unavailable`, or `Internal` when the key file cannot be written.
    pub async fn maintain(&self) -> Result<u64, Error> {
        let now = self.now();
        let lifetime = self.inner.key_lifetime;
        if self.inner.keys.is_due(now, lifetime) {
            self.replace_key(lifetime).await?;
        }
        let mut total = 0;
        loop {
            let deleted = self
                .inner
                .db
                .write("identity.prune", move |tx| {
                    Box::pin(sessions::sessions_prune_in_tx(tx, now, PRUNE_BATCH))
                })
                .await?;
            total += deleted;
            if deleted < PRUNE_BATCH {
                return Ok(total);
            }
        }
    }

    /// Signs with a new key from now on, or, where processes share the keys in a vault,
    /// from ten minutes on, when all know it. Tokens signed before stay valid to their
    /// end. Several processes that ask at once get one new key.
    ///
    /// # Errors
    /// `Internal` when the keys came as text or the file cannot be written,
    /// `Unavailable` when the vault's database cannot be reached.
    pub async fn rotate_keys(&self) -> Result<(), Error> {
        self.replace_key(Duration::ZERO).await
    }

    /// Takes over what other processes did to keys that are shared in a vault; else it
    /// does nothing. The host calls it about once a minute, and must within ten.
    ///
    /// # Errors
    /// `Unavailable` when the database cannot be reached.
    pub async fn reload_keys(&self) -> Result<(), Error> {
        self.inner.keys.reload().await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "writing the key file blocks, and happens a few times a year"
    )]
    async fn replace_key(&self, lifetime: Duration) -> Result<(), Error> {
        let keys = self.inner.keys.clone();
        let (now, overlap) = (self.now(), self.inner.key_overlap);
        if keys.is_in_vault() {
            return keys.advance(now, (lifetime, overlap)).await;
        }
        tokio::task::spawn_blocking(move || keys.rotate(now, overlap))
            .await
            .map_err(|source| Error::internal("rotating keys broke off").with_source(source))?
    }
}
