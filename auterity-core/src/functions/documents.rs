//! Documents that calls need and that were got a short while ago.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use url::Url;

use super::Invocation;
use crate::clock::{Clock, SystemClock};
use crate::interpreter::{Problem, ProblemKind};

/// How long a document is good for.
const AGE_MAX: SignedDuration = SignedDuration::from_secs(60);
/// How many documents are kept.
const ENTRIES_MAX: usize = 64;
/// How many bytes of text the kept documents may have had when one more is taken in.
const BYTES_MAX: usize = 16 << 20;
/// How many documents are read at once.
const PARSING_MAX: usize = 2;

/// A digest of whose document it is, where it is and how it is fetched.
pub(super) type Key = [u8; 32];

/// Keeps documents of tenants and of credentials apart, without keeping those.
pub(super) fn key(invocation: &Invocation, url: &Url, policy: Option<&Value>) -> Key {
    let of = json!([invocation.scope.tenant().to_string(), url.as_str(), policy]);
    Sha256::digest(of.to_string()).into()
}

/// Something that was read.
pub(super) trait Document: Send + Sync + 'static {
    /// Gives how long its text was.
    fn bytes(&self) -> usize;
}

/// Documents of one kind.
#[derive(Debug)]
pub(super) struct Documents<T> {
    entries: Mutex<BTreeMap<Key, Entry<T>>>,
    parsing: Arc<Semaphore>,
}

/// The place of a document: whoever comes first gets it, the others wait for it.
type Slot<T> = Arc<OnceCell<Arc<T>>>;

#[derive(Debug)]
struct Entry<T> {
    slot: Slot<T>,
    until: Timestamp,
}

impl<T> Default for Documents<T> {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            parsing: Arc::new(Semaphore::new(PARSING_MAX)),
        }
    }
}

impl<T: Document> Documents<T> {
    /// Gives the document of a key, made by `make` if there is none.
    pub(super) async fn get<F>(&self, key: Key, make: impl FnOnce() -> F) -> Result<Arc<T>, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let slot = self.slot(key, SystemClock.now());
        let made = slot.get_or_try_init(|| async { make().await.map(Arc::new) });
        made.await.map(Arc::clone)
    }

    /// Reads a document's text, which may take a while.
    pub(super) async fn parse(
        &self,
        read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.parsing).acquire_owned().await;
        #[expect(
            clippy::disallowed_methods,
            reason = "large documents would hold up the runtime; few are read at once"
        )]
        let reading = tokio::task::spawn_blocking(move || {
            let parsed = read();
            drop(permit);
            parsed
        });
        reading.await.unwrap_or_else(|_| {
            let detail = "the document could not be read";
            Err(Problem::new(ProblemKind::Runtime, detail))
        })
    }

    /// Gives the place of a document; a new one takes that of the oldest.
    fn slot(&self, key: Key, now: Timestamp) -> Slot<T> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| now < entry.until);
        if let Some(entry) = entries.get(&key) {
            return Arc::clone(&entry.slot);
        }
        while ENTRIES_MAX <= entries.len() || BYTES_MAX < bytes(&entries) {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.until);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                break;
            };
            entries.remove(&oldest);
        }
        let entry = Entry {
            slot: Arc::default(),
            until: now + AGE_MAX,
        };
        let slot = Arc::clone(&entry.slot);
        entries.insert(key, entry);
        slot
    }
}

fn bytes<T: Document>(entries: &BTreeMap<Key, Entry<T>>) -> usize {
    let documents = entries.values().filter_map(|entry| entry.slot.get());
    documents.map(|document| document.bytes()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text;

    impl Document for Text {
        fn bytes(&self) -> usize {
            1
        }
    }

    #[test]
    fn places_are_kept_for_a_while_and_are_bounded() {
        let documents = Documents::<Text>::default();
        let start = Timestamp::UNIX_EPOCH;
        let first = documents.slot([1; 32], start);
        assert!(Arc::ptr_eq(&first, &documents.slot([1; 32], start)));
        assert!(!Arc::ptr_eq(&first, &documents.slot([2; 32], start)));
        let later = start + AGE_MAX;
        assert!(!Arc::ptr_eq(&first, &documents.slot([1; 32], later)));
        for number in 0..=u8::MAX {
            documents.slot([number; 32], later + SignedDuration::from_secs(1));
        }
        let entries = documents.entries.lock().expect("no panic before");
        assert_eq!(entries.len(), ENTRIES_MAX);
    }
}
