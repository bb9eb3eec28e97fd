//! Tokens of authorization servers that are good for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use tokio::sync::OnceCell;

use crate::interpreter::Problem;

/// How many tokens are kept.
const ENTRIES_MAX: usize = 1_024;

/// A digest of whose token it is and of the policy that it is got by.
pub(super) type Key = [u8; 32];

/// A token. It has no `Debug`.
pub(super) struct Token {
    pub(super) header: HeaderValue,
    /// When it is to be renewed.
    pub(super) until: Timestamp,
    /// For the next renewal, where the server gave one.
    pub(super) refresh: Option<String>,
}

/// The place of a token: whoever comes first gets it, the others wait for it.
type Slot = Arc<OnceCell<Arc<Token>>>;

#[derive(Default)]
pub(super) struct Tokens {
    entries: Mutex<BTreeMap<Key, Entry>>,
}

#[derive(Default)]
struct Entry {
    slot: Slot,
    refresh: Option<String>,
}

impl Tokens {
    /// Gives the token of a key that is good now, got by `fetch` if there is none.
    /// `fetch` is handed the newest refresh token.
    pub(super) async fn get<F>(
        &self,
        key: Key,
        now: Timestamp,
        fetch: impl FnOnce(Option<String>) -> F,
    ) -> Result<Arc<Token>, Problem>
    where
        F: Future<Output = Result<Token, Problem>>,
    {
        let (slot, refresh) = self.slot(key, now);
        let token = slot
            .get_or_try_init(|| async { fetch(refresh).await.map(Arc::new) })
            .await;
        token.map(Arc::clone)
    }

    /// Forgets a token that a server did not take, unless it has been renewed since.
    pub(super) fn forget(&self, key: Key, token: &Arc<Token>) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&key)
            && entry
                .slot
                .get()
                .is_some_and(|known| Arc::ptr_eq(known, token))
        {
            entry.renew();
        }
    }

    fn slot(&self, key: Key, now: Timestamp) -> (Slot, Option<String>) {
        let mut entries = self.lock();
        if !entries.contains_key(&key) {
            make_room(&mut entries, now);
        }
        let entry = entries.entry(key).or_default();
        if entry.slot.get().is_some_and(|token| token.until <= now) {
            entry.renew();
        }
        (Arc::clone(&entry.slot), entry.refresh.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn renew(&mut self) {
        let old = std::mem::take(&mut self.slot);
        if let Some(refresh) = old.get().and_then(|token| token.refresh.clone()) {
            self.refresh = Some(refresh);
        }
    }
}

/// Drops tokens that have ended or that nobody got and, if that is not enough, the one
/// that ends first.
fn make_room(entries: &mut BTreeMap<Key, Entry>, now: Timestamp) {
    if entries.len() < ENTRIES_MAX {
        return;
    }
    entries.retain(|_, entry| match entry.slot.get() {
        Some(token) => now < token.until,
        None => 1 < Arc::strong_count(&entry.slot),
    });
    while ENTRIES_MAX <= entries.len() {
        let first = entries
            .iter()
            .min_by_key(|(_, entry)| entry.slot.get().map(|token| token.until));
        let Some(first) = first.map(|(key, _)| *key) else {
            return;
        };
        entries.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use jiff::SignedDuration;

    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn token(number: u32, until: Timestamp) -> Token {
        Token {
            header: HeaderValue::from(number),
            until,
            refresh: Some(format!("refresh {number}")),
        }
    }

    #[tokio::test]
    async fn token_is_got_once_and_renewed_when_it_ends_or_is_refused() {
        let (tokens, count) = (Tokens::default(), AtomicU32::new(0));
        let minute = SignedDuration::from_mins(1);
        let get = async |now: Timestamp| {
            let fetch = |refresh: Option<String>| {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let before = number.checked_sub(1).map(|one| format!("refresh {one}"));
                assert_eq!(refresh, before);
                async move { Ok(token(number, now + minute)) }
            };
            let got = tokens.get([1; 32], now, fetch).await;
            got.unwrap_or_else(|problem| panic!("{problem:?}"))
        };
        let (one, two, three) = tokio::join!(get(START), get(START), get(START));
        assert!(Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&two, &three));
        let renewed = get(START + minute).await;
        assert_eq!(renewed.header, "1");
        tokens.forget([1; 32], &one);
        assert!(Arc::ptr_eq(&renewed, &get(START + minute).await));
        tokens.forget([1; 32], &renewed);
        assert_eq!(get(START + minute).await.header, "2");
    }

    #[tokio::test]
    async fn failure_is_not_kept_and_the_cache_is_bounded() {
        let tokens = Tokens::default();
        let failing = |_| async {
            let kind = crate::interpreter::ProblemKind::Authentication;
            Err(Problem::new(kind, "no"))
        };
        assert!(tokens.get([0; 32], START, failing).await.is_err());
        for number in 0..2_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            let until = START + SignedDuration::from_secs(1 + i64::from(number));
            let got = tokens.get(key, START, |_| async move { Ok(token(number, until)) });
            assert!(got.await.is_ok());
        }
        assert_eq!(tokens.lock().len(), ENTRIES_MAX);
    }
}
