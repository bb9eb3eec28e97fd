//! Documents that were fetched a short while ago.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use super::document::Document;

/// How long a document is good for.
const AGE_MAX: SignedDuration = SignedDuration::from_secs(60);
/// How many documents are kept.
const ENTRIES_MAX: usize = 64;
/// How many bytes of text the kept documents may have had when one more is taken in.
const BYTES_MAX: usize = 16 << 20;

/// A digest of whose document it is, where it is and how it is fetched.
pub(super) type Key = [u8; 32];

/// The place of a document: whoever comes first fetches it, the others wait for it.
pub(super) type Slot = Arc<OnceCell<Arc<Document>>>;

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: Mutex<BTreeMap<Key, Entry>>,
}

#[derive(Debug)]
struct Entry {
    slot: Slot,
    until: Timestamp,
}

impl Cache {
    /// Gives the place of a document; a new one takes that of the oldest.
    pub(super) fn slot(&self, key: Key, now: Timestamp) -> Slot {
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
            slot: Slot::default(),
            until: now + AGE_MAX,
        };
        let slot = Arc::clone(&entry.slot);
        entries.insert(key, entry);
        slot
    }
}

fn bytes(entries: &BTreeMap<Key, Entry>) -> usize {
    let documents = entries.values().filter_map(|entry| entry.slot.get());
    documents.map(|document| document.bytes()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_for_a_while_and_are_bounded() {
        let cache = Cache::default();
        let start = Timestamp::UNIX_EPOCH;
        let first = cache.slot([1; 32], start);
        assert!(Arc::ptr_eq(&first, &cache.slot([1; 32], start)));
        assert!(!Arc::ptr_eq(&first, &cache.slot([2; 32], start)));
        let later = start + AGE_MAX;
        assert!(!Arc::ptr_eq(&first, &cache.slot([1; 32], later)));
        for number in 0..=u8::MAX {
            cache.slot([number; 32], later + SignedDuration::from_secs(1));
        }
        let entries = cache.entries.lock().expect("no panic before");
        assert_eq!(entries.len(), ENTRIES_MAX);
    }
}
