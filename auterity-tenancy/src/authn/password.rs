use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::options::HashingOptions;
use crate::error::{Error, ErrorKind};
use crate::random;
use crate::secret::Secret;

const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Hashes and verifies passwords with argon2id.
///
/// At most `parallel_max` hashes are computed at once, away from the async
/// threads, and at most `queue_max` wait, so that a flood of sign-ins can take
/// neither all memory nor all processors.
#[derive(Clone)]
pub(crate) struct Hasher {
    params: Params,
    /// Verified against when there is no such user, so that both cases cost the same.
    decoy: String,
    queue: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// What a verification found out.
pub(crate) struct Verified {
    pub(crate) matches: bool,
    /// A hash with today's parameters, when the password is right and the stored
    /// hash is weaker.
    pub(crate) replacement: Option<String>,
}

impl Hasher {
    pub(crate) fn new(options: &HashingOptions) -> Result<Self, Error> {
        let params = Params::new(options.memory_kib, options.passes, LANES, Some(HASH_BYTES))
            .map_err(|source| {
                Error::internal("the hashing options are not possible for argon2id")
                    .with("reason", source)
            })?;
        let decoy = decoy(&params)?;
        let running = options.parallel_max as usize;
        let queue = running + options.queue_max as usize;
        Ok(Self {
            params,
            decoy,
            queue: Arc::new(Semaphore::new(queue)),
            running: Arc::new(Semaphore::new(running)),
        })
    }

    /// Makes the PHC text of a password.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, Error> {
        let params = self.params.clone();
        self.compute(move || hash(params, &password)).await
    }

    /// Checks a password against a stored hash, or against a decoy if there is
    /// none. It takes one argon2 computation in each case that does not match.
    pub(crate) async fn verify(
        &self,
        password: Secret,
        stored: Option<String>,
    ) -> Result<Verified, Error> {
        let exists = stored.is_some();
        let text = stored.unwrap_or_else(|| self.decoy.clone());
        let params = self.params.clone();
        self.compute(move || {
            let phc = PasswordHash::new(&text).map_err(unreadable)?;
            let matches = context(params.clone())
                .verify_password(password.expose().as_bytes(), &phc)
                .is_ok()
                && exists;
            let replacement = if matches && is_weaker(&phc, &params) {
                Some(hash(params, &password)?)
            } else {
                None
            };
            Ok(Verified {
                matches,
                replacement,
            })
        })
        .await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the bounded pool for hashing"
    )]
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(|_| {
            Error::new(
                ErrorKind::Overloaded,
                "too many passwords are being checked; try again in a moment",
            )
        })?;
        let turn = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|source| Error::internal("the hashing pool is closed").with_source(source))?;
        // Both permits go with the work: a caller that leaves does not stop it, so
        // its place must not be given away before it ends.
        let permits: [OwnedSemaphorePermit; 2] = [place, turn];
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permits);
            result
        });
        done.await
            .map_err(|source| Error::internal("hashing a password broke off").with_source(source))?
    }
}

fn context(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(params: Params, password: &Secret) -> Result<String, Error> {
    let salt = random::bytes::<SALT_BYTES>();
    context(params)
        .hash_password_with_salt(password.expose().as_bytes(), salt.as_slice())
        .map(|phc| phc.to_string())
        .map_err(|source| Error::internal("hashing a password failed").with("reason", source))
}

/// Makes a hash that belongs to no password: all of it is random.
fn decoy(params: &Params) -> Result<String, Error> {
    let phc = PasswordHash {
        algorithm: argon2::ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(unreadable)?,
        salt: Some(Salt::new(random::bytes::<SALT_BYTES>().as_slice()).map_err(unreadable)?),
        hash: Some(Output::new(random::bytes::<HASH_BYTES>().as_slice()).map_err(unreadable)?),
    };
    Ok(phc.to_string())
}

fn is_weaker(phc: &PasswordHash, wanted: &Params) -> bool {
    match Params::try_from(phc) {
        Ok(stored) => {
            phc.algorithm != argon2::ARGON2ID_IDENT
                || stored.m_cost() < wanted.m_cost()
                || stored.t_cost() < wanted.t_cost()
        }
        Err(_) => true,
    }
}

fn unreadable(source: impl std::fmt::Display) -> Error {
    Error::internal("a password hash cannot be read").with("reason", source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(parallel_max: u32, queue_max: u32) -> Hasher {
        Hasher::new(&HashingOptions {
            parallel_max,
            queue_max,
            ..HashingOptions::default()
        })
        .unwrap()
    }

    #[tokio::test]
    async fn hash_is_argon2id_with_the_asked_cost_and_verifies() {
        let hasher = hasher(1, 1);
        let text = hasher.hash("correct horse battery".into()).await.unwrap();
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
        let right = hasher
            .verify("correct horse battery".into(), Some(text.clone()))
            .await
            .unwrap();
        assert!(right.matches && right.replacement.is_none());
        let wrong = hasher
            .verify("wrong horse battery".into(), Some(text))
            .await
            .unwrap();
        assert!(!wrong.matches);
        let nobody = hasher.verify("correct".into(), None).await.unwrap();
        assert!(!nobody.matches);
    }

    #[tokio::test]
    async fn weaker_hash_is_replaced_when_the_password_is_right() {
        let weak = hash(
            Params::new(8 * 1024, 1, 1, Some(HASH_BYTES)).unwrap(),
            &"correct horse battery".into(),
        )
        .unwrap();
        let verified = hasher(1, 1)
            .verify("correct horse battery".into(), Some(weak))
            .await
            .unwrap();
        assert!(verified.replacement.unwrap().contains("m=19456,t=2"));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_instead_of_piling_up() {
        let hasher = hasher(1, 1);
        let held = Arc::clone(&hasher.running).acquire_owned().await.unwrap();
        let first = hasher.hash("correct horse battery".into());
        let second = hasher.hash("correct horse battery".into());
        tokio::pin!(first, second);
        assert!(poll_once(first.as_mut()).await.is_none());
        assert!(poll_once(second.as_mut()).await.is_none());
        let third = hasher.hash("correct horse battery".into()).await;
        assert_eq!(third.unwrap_err().kind(), ErrorKind::Overloaded);
        drop(held);
        first.await.unwrap();
        second.await.unwrap();
    }

    async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            let polled = std::pin::Pin::new(&mut future).poll(context);
            std::task::Poll::Ready(match polled {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
