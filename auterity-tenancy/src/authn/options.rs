use std::time::Duration;

use serde::Deserialize;

use crate::error::Error;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// The least memory that OWASP's password storage guide accepts for argon2id with
/// two passes.
const HASH_MEMORY_KIB_MIN: u32 = 19 * 1024;
const HASH_PASSES_MIN: u32 = 2;

/// Settings of [`Identity`](crate::Identity).
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityOptions {
    /// The `iss` of our tokens; tokens of another issuer are refused.
    pub issuer: String,
    /// The `aud` of our tokens; tokens for another audience are refused.
    pub audience: String,
    /// How long an access token is valid: the longest time for which a revoked
    /// session or a removed role can still act.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub access_lifetime: Duration,
    /// How far the clocks of two nodes may be apart.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub leeway: Duration,
    /// The longest time between two sign-ins.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub session_lifetime: Duration,
    /// How long a session lasts without a refresh.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub session_idle: Duration,
    /// How long after a rotation the token just replaced is refused as a race of
    /// two tabs, instead of being taken as stolen. It never yields tokens.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub refresh_race: Duration,
    /// How many sessions one member may have; the oldest make room.
    pub sessions_per_member_max: u32,
    /// The age at which [`Identity::maintain`](crate::Identity::maintain) replaces
    /// the signing key.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub key_lifetime: Duration,
    /// How passwords are hashed.
    pub hashing: HashingOptions,
    /// How often sign-in and sign-up may be tried.
    pub throttle: ThrottleOptions,
}

impl Default for IdentityOptions {
    fn default() -> Self {
        Self {
            issuer: "auterity".to_owned(),
            audience: "auterity".to_owned(),
            access_lifetime: 10 * MINUTE,
            leeway: Duration::from_secs(5),
            session_lifetime: 30 * DAY,
            session_idle: 14 * DAY,
            refresh_race: Duration::from_secs(10),
            sessions_per_member_max: 100,
            key_lifetime: 90 * DAY,
            hashing: HashingOptions::default(),
            throttle: ThrottleOptions::default(),
        }
    }
}

/// The cost of one password hash and how many may be computed at once.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HashingOptions {
    /// Memory of one hash, at least 19 MiB.
    pub memory_kib: u32,
    /// Passes over the memory, at least 2.
    pub passes: u32,
    /// How many hashes are computed at the same time.
    pub parallel_max: u32,
    /// How many more may wait for their turn; the next is refused as overload.
    pub queue_max: u32,
}

impl Default for HashingOptions {
    fn default() -> Self {
        Self {
            memory_kib: HASH_MEMORY_KIB_MIN,
            passes: HASH_PASSES_MIN,
            parallel_max: 2,
            queue_max: 64,
        }
    }
}

/// Token buckets for attempts to sign in and to sign up. A network is one IPv4
/// address or one IPv6 `/64`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThrottleOptions {
    /// Sign-ins to one account from one network, at once.
    pub account_burst: u32,
    /// The time after which one more of those is allowed.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub account_interval: Duration,
    /// Failed sign-ins to one account from everywhere, after which each network
    /// gets one attempt instead of `account_burst`.
    pub account_total_burst: u32,
    /// The time after which one more of those is allowed.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub account_total_interval: Duration,
    /// Sign-ins from one network to any account, at once.
    pub network_burst: u32,
    /// The time after which one more of those is allowed.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub network_interval: Duration,
    /// Sign-ups from one network, at once.
    pub sign_up_burst: u32,
    /// The time after which one more of those is allowed.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::required")]
    pub sign_up_interval: Duration,
    /// How many buckets of one kind are remembered; the fullest are forgotten first.
    pub buckets_max: u32,
}

impl Default for ThrottleOptions {
    fn default() -> Self {
        Self {
            account_burst: 5,
            account_interval: Duration::from_secs(12),
            account_total_burst: 50,
            account_total_interval: MINUTE,
            network_burst: 60,
            network_interval: Duration::from_secs(1),
            sign_up_burst: 30,
            sign_up_interval: Duration::from_secs(10),
            buckets_max: 100_000,
        }
    }
}

impl IdentityOptions {
    /// Refuses settings that would be unsafe or could not work.
    ///
    /// # Errors
    /// `Internal`, naming the setting.
    pub fn validate(&self) -> Result<(), Error> {
        let rules = [
            (!self.issuer.is_empty(), "issuer must not be empty"),
            (!self.audience.is_empty(), "audience must not be empty"),
            (
                MINUTE <= self.access_lifetime && self.access_lifetime <= 60 * MINUTE,
                "access_lifetime must be 1 minute to 1 hour",
            ),
            (self.leeway <= MINUTE, "leeway must be at most 1 minute"),
            (
                self.access_lifetime < self.session_idle,
                "session_idle must be longer than access_lifetime",
            ),
            (
                self.session_idle <= self.session_lifetime && self.session_lifetime <= 365 * DAY,
                "session_lifetime must be session_idle to 365 days",
            ),
            (
                self.refresh_race <= MINUTE,
                "refresh_race must be at most 1 minute",
            ),
            (
                0 < self.sessions_per_member_max,
                "sessions_per_member_max must be at least 1",
            ),
            (
                DAY <= self.key_lifetime,
                "key_lifetime must be at least 1 day",
            ),
            (
                HASH_MEMORY_KIB_MIN <= self.hashing.memory_kib,
                "hashing.memory_kib must be at least 19456",
            ),
            (
                HASH_PASSES_MIN <= self.hashing.passes,
                "hashing.passes must be at least 2",
            ),
            (
                0 < self.hashing.parallel_max && self.hashing.parallel_max <= 1024,
                "hashing.parallel_max must be 1 to 1024",
            ),
            (
                self.hashing.queue_max <= 100_000,
                "hashing.queue_max must be at most 100000",
            ),
            (
                0 < self.throttle.account_burst
                    && 0 < self.throttle.account_total_burst
                    && 0 < self.throttle.network_burst
                    && 0 < self.throttle.sign_up_burst,
                "each burst of throttle must be at least 1",
            ),
            (
                16 <= self.throttle.buckets_max,
                "throttle.buckets_max must be at least 16",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Error::internal(format!("identity option: {rule}"))),
            None => Ok(()),
        }
    }
}
