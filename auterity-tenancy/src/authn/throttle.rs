use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::options::ThrottleOptions;
use crate::error::{Error, ErrorKind};

/// Slows down guessing.
///
/// An account is throttled per network, so that somebody who guesses from one
/// place cannot lock the owner out of another. Guesses spread over many networks
/// leave each of them a single attempt per refill, the owner's too, but never none.
///
/// The buckets live in memory: each node counts for itself and a restart forgets.
#[derive(Debug)]
pub(crate) struct Throttle {
    account_burst: u32,
    by_account_and_network: Buckets<(Account, Network)>,
    by_account: Buckets<Account>,
    by_network: Buckets<Network>,
    sign_up: Buckets<Network>,
}

type Account = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    Address(IpAddr),
    /// The host did not say where the call came from. Calls from nowhere have no limit
    /// as a network: they would all count as one, and one caller could lock out all.
    Unknown,
}

/// One admitted attempt to sign in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    account: Account,
    network: Network,
    cost: u32,
}

impl Throttle {
    pub(crate) fn new(options: &ThrottleOptions) -> Self {
        let capacity = options.buckets_max as usize;
        Self {
            account_burst: options.account_burst,
            by_account_and_network: Buckets::new(
                options.account_burst,
                options.account_interval,
                capacity,
            ),
            by_account: Buckets::new(
                options.account_total_burst,
                options.account_total_interval,
                capacity,
            ),
            by_network: Buckets::new(options.network_burst, options.network_interval, capacity),
            sign_up: Buckets::new(options.sign_up_burst, options.sign_up_interval, capacity),
        }
    }

    /// Admits an attempt to sign in, whether or not there is such an account.
    pub(crate) fn sign_in(
        &self,
        email: &str,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Attempt, Error> {
        let account = account(email);
        let network = network(from);
        if network != Network::Unknown {
            self.by_network.take(network, 1, now)?;
        }
        let under_attack = self.by_account.is_empty(account, now);
        let cost = if under_attack { self.account_burst } else { 1 };
        self.by_account_and_network
            .take((account, network), cost, now)?;
        // Only attempts that were admitted count against the account, so that
        // hammering from one place does not make life harder elsewhere.
        if !under_attack {
            self.by_account.take(account, 1, now)?;
        }
        Ok(Attempt {
            account,
            network,
            cost,
        })
    }

    /// Gives back what an attempt took, because it was right.
    pub(crate) fn succeeded(&self, attempt: Attempt) {
        if attempt.network != Network::Unknown {
            self.by_network.give_back(attempt.network, 1);
        }
        self.by_account_and_network
            .give_back((attempt.account, attempt.network), attempt.cost);
        if attempt.cost == 1 {
            self.by_account.give_back(attempt.account, 1);
        }
    }

    pub(crate) fn sign_up(&self, from: Option<IpAddr>, now: Timestamp) -> Result<(), Error> {
        match network(from) {
            Network::Unknown => Ok(()),
            known @ Network::Address(_) => self.sign_up.take(known, 1, now),
        }
    }
}

/// The address itself is not kept in memory.
fn account(email: &str) -> Account {
    let digest = Sha256::digest(email);
    let mut account = Account::default();
    account.copy_from_slice(&digest[..16]);
    account
}

/// One subscriber usually has a whole `/64` of IPv6.
fn network(from: Option<IpAddr>) -> Network {
    match from.map(|address| address.to_canonical()) {
        None => Network::Unknown,
        Some(IpAddr::V4(address)) => Network::Address(IpAddr::V4(address)),
        Some(IpAddr::V6(address)) => {
            let prefix = u128::from(address) >> 64 << 64;
            Network::Address(IpAddr::V6(Ipv6Addr::from(prefix)))
        }
    }
}

/// Token buckets, each kept as the time at which it will be full again (the
/// generic cell rate algorithm of ATM, ITU-T I.371).
#[derive(Debug)]
struct Buckets<K> {
    burst: u32,
    interval_micros: i64,
    capacity: usize,
    full_at: Mutex<HashMap<K, i64>>,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    fn new(burst: u32, interval: Duration, capacity: usize) -> Self {
        Self {
            burst,
            interval_micros: i64::try_from(interval.as_micros()).unwrap_or(i64::MAX),
            capacity,
            full_at: Mutex::new(HashMap::new()),
        }
    }

    fn take(&self, key: K, cost: u32, now: Timestamp) -> Result<(), Error> {
        let now = now.as_microsecond();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if self.capacity <= full_at.len() && !full_at.contains_key(&key) {
            make_room(&mut full_at, self.capacity, now);
        }
        let bucket = full_at.entry(key).or_insert(now);
        let after = (*bucket).max(now).saturating_add(self.time_of(cost));
        let latest = now.saturating_add(self.time_of(self.burst));
        if after <= latest {
            *bucket = after;
            return Ok(());
        }
        let wait = u64::try_from(after - latest).unwrap_or(0);
        Err(Error::new(
            ErrorKind::Throttled {
                retry_after: Duration::from_micros(wait),
            },
            "too many attempts; wait before the next one",
        ))
    }

    fn is_empty(&self, key: K, now: Timestamp) -> bool {
        let now = now.as_microsecond();
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = now.saturating_add(self.time_of(self.burst));
        full_at
            .get(&key)
            .is_some_and(|bucket| latest < bucket.saturating_add(self.time_of(1)))
    }

    fn give_back(&self, key: K, cost: u32) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = full_at.get_mut(&key) {
            *bucket = bucket.saturating_sub(self.time_of(cost));
        }
    }

    fn time_of(&self, tokens: u32) -> i64 {
        self.interval_micros.saturating_mul(i64::from(tokens))
    }
}

/// Forgets full buckets, which say nothing; then the fullest quarter, so that
/// many new keys cannot wash out the emptiest ones.
fn make_room<K: Copy + Eq + Hash>(full_at: &mut HashMap<K, i64>, capacity: usize, now: i64) {
    full_at.retain(|_, full| now < *full);
    let keep = capacity - capacity / 4;
    if full_at.len() <= keep {
        return;
    }
    let mut times: Vec<i64> = full_at.values().copied().collect();
    let cut = times.len() - keep;
    let (_, limit, _) = times.select_nth_unstable(cut);
    let limit = *limit;
    let mut equal_kept = 0;
    full_at.retain(|_, full| {
        // Many buckets may be equally full: only as many of them stay as fit.
        equal_kept += usize::from(*full == limit);
        limit < *full || (*full == limit && equal_kept <= keep / 2)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    const OWNER: &str = "owner@example.com";

    fn throttle() -> Throttle {
        Throttle::new(&ThrottleOptions {
            account_burst: 3,
            account_interval: Duration::from_secs(10),
            account_total_burst: 6,
            account_total_interval: Duration::from_mins(1),
            network_burst: 20,
            network_interval: Duration::from_secs(1),
            sign_up_burst: 2,
            sign_up_interval: Duration::from_secs(30),
            buckets_max: 16,
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn wait_of(result: Result<Attempt, Error>) -> u64 {
        match result.unwrap_err().kind() {
            ErrorKind::Throttled { retry_after } => retry_after.as_secs(),
            other => panic!("unexpected {other:?}"),
        }
    }

    #[test]
    fn guesses_from_one_place_are_stopped_there_only_and_refill() {
        let throttle = throttle();
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..3 {
            throttle.sign_in(OWNER, Some(ip("192.0.2.1")), now).unwrap();
        }
        assert_eq!(
            wait_of(throttle.sign_in(OWNER, Some(ip("192.0.2.1")), now)),
            10
        );
        throttle.sign_in(OWNER, Some(ip("192.0.2.2")), now).unwrap();
        let later = now + SignedDuration::from_secs(10);
        throttle
            .sign_in(OWNER, Some(ip("192.0.2.1")), later)
            .unwrap();
        throttle
            .sign_in(OWNER, Some(ip("192.0.2.1")), later)
            .unwrap_err();
    }

    #[test]
    fn hammering_from_one_place_does_not_narrow_the_others() {
        let throttle = throttle();
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..20 {
            let _refused = throttle.sign_in(OWNER, Some(ip("192.0.2.1")), now).is_err();
        }
        for _ in 0..3 {
            throttle.sign_in(OWNER, Some(ip("192.0.2.2")), now).unwrap();
        }
    }

    #[test]
    fn guesses_from_everywhere_leave_each_place_one_attempt() {
        let throttle = throttle();
        let now = Timestamp::UNIX_EPOCH;
        for last in 1..=6 {
            let from = Some(ip(&format!("198.51.100.{last}")));
            throttle.sign_in(OWNER, from, now).unwrap();
        }
        let attempt = throttle
            .sign_in(OWNER, Some(ip("203.0.113.9")), now)
            .unwrap();
        assert_eq!(
            wait_of(throttle.sign_in(OWNER, Some(ip("203.0.113.9")), now)),
            30
        );
        throttle.succeeded(attempt);
        throttle
            .sign_in(OWNER, Some(ip("203.0.113.9")), now)
            .unwrap();
    }

    #[test]
    fn calls_from_nowhere_are_not_one_network() {
        let throttle = throttle();
        let now = Timestamp::UNIX_EPOCH;
        for number in 0..100 {
            let email = format!("user-{number}@example.com");
            throttle.sign_in(&email, None, now).unwrap();
            throttle.sign_up(None, now).unwrap();
        }
        for _ in 0..3 {
            throttle.sign_in(OWNER, None, now).unwrap();
        }
        throttle.sign_in(OWNER, None, now).unwrap_err();
    }

    #[test]
    fn one_ipv6_subscriber_counts_as_one() {
        let throttle = throttle();
        let now = Timestamp::UNIX_EPOCH;
        throttle.sign_up(Some(ip("2001:db8:0:1::1")), now).unwrap();
        throttle
            .sign_up(Some(ip("2001:db8:0:1:ffff::2")), now)
            .unwrap();
        throttle
            .sign_up(Some(ip("2001:db8:0:1::3")), now)
            .unwrap_err();
        throttle.sign_up(Some(ip("2001:db8:0:2::1")), now).unwrap();
        throttle.sign_up(Some(ip("::ffff:192.0.2.1")), now).unwrap();
        throttle.sign_up(Some(ip("192.0.2.1")), now).unwrap();
        throttle.sign_up(Some(ip("192.0.2.1")), now).unwrap_err();
    }

    #[test]
    fn memory_stays_bounded_and_the_emptiest_bucket_is_kept() {
        let buckets: Buckets<u32> = Buckets::new(3, Duration::from_secs(10), 16);
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..3 {
            buckets.take(0, 1, now).unwrap();
        }
        for key in 1..1_000 {
            buckets.take(key, 1, now).unwrap();
            assert!(buckets.full_at.lock().unwrap().len() <= 16);
        }
        buckets.take(0, 1, now).unwrap_err();
    }
}
