//! The one registry of identifiers.
//!
//! Each id is a 128-bit, time-ordered value (the layout of UUID version 7) that
//! prints as a prefix and 26 Crockford base-32 letters: `exe_01k…`. An id of one
//! kind cannot be passed where another is expected.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::clock::Entropy;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED_LENGTH: usize = 26;

/// The reason why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid identifier: expected `{prefix}_` and 26 base-32 letters")]
pub struct ParseIdError {
    prefix: &'static str,
}

fn encode(prefix: &str, value: u128, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut letters = [0_u8; ENCODED_LENGTH];
    let mut rest = value;
    for slot in letters.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    let text = std::str::from_utf8(&letters).map_err(|_| fmt::Error)?;
    write!(out, "{prefix}_{text}")
}

fn decode(prefix: &'static str, text: &str) -> Result<u128, ParseIdError> {
    let error = ParseIdError { prefix };
    let letters = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .filter(|letters| letters.len() == ENCODED_LENGTH)
        .ok_or_else(|| error.clone())?;
    let mut value: u128 = 0;
    for (index, letter) in letters.bytes().enumerate() {
        let digit = ALPHABET
            .iter()
            .position(|candidate| *candidate == letter)
            .ok_or_else(|| error.clone())?;
        // 26 letters hold 130 bits: the first may only carry three.
        if index == 0 && digit > 7 {
            return Err(error);
        }
        value = (value << 5) | digit as u128;
    }
    Ok(value)
}

fn time_ordered(now: Timestamp, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0_u8; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id from the time and random bits.
            #[must_use]
            pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Self {
                Self(time_ordered(now, entropy))
            }

            /// Takes over 128 bits that were an id of this kind before, as a
            /// store does when it reads a row.
            #[must_use]
            pub const fn from_uuid(value: Uuid) -> Self {
                Self(value)
            }

            /// Gives the 128 bits, as a store writes them.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, self.0.as_u128(), out)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, out)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                decode($prefix, text).map(|value| Self(Uuid::from_u128(value)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// Names a tenant. Only the tenant registry makes one from outside text.
    TenantId = "ten";
    /// Names one execution of a workflow.
    ExecutionId = "exe";
    /// Names a person who can sign in; one person may belong to many tenants.
    UserId = "usr";
    /// Names a login session.
    SessionId = "ses";
    /// Names one life of one worker process; a restart gets a new one.
    WorkerId = "wrk";
    /// Names something that waits in an execution's inbox.
    InboxId = "inb";
    /// Names a schedule, or a backfill of one.
    ScheduleId = "sch";
    /// Names an operation on many executions.
    BulkId = "blk";
    /// Names a task for a person.
    HumanTaskId = "tsk";
}

impl InboxId {
    /// Derives the id of a message from the execution that it is about and what it
    /// says, so that a repetition is recognised.
    #[must_use]
    pub fn derived(about: ExecutionId, what: &str) -> Self {
        Self(Uuid::new_v5(&about.0, what.as_bytes()))
    }
}

impl ScheduleId {
    /// Derives the id of a schedule from the key under which a tenant made it, so that a
    /// repeated call finds the first.
    #[must_use]
    pub fn derived(tenant: TenantId, key: &str) -> Self {
        Self(Uuid::new_v5(&tenant.0, key.as_bytes()))
    }

    /// Derives the id of an event for this schedule.
    #[must_use]
    pub fn event(self, what: &str) -> InboxId {
        InboxId(Uuid::new_v5(&self.0, what.as_bytes()))
    }
}

impl BulkId {
    /// Derives the id of an operation from the key under which a tenant asked for it, so
    /// that a repeated call finds the first.
    #[must_use]
    pub fn derived(tenant: TenantId, key: &str) -> Self {
        Self(Uuid::new_v5(&tenant.0, format!("bulk {key}").as_bytes()))
    }

    /// Derives the id of what the operation orders an execution to do.
    #[must_use]
    pub fn order(self, execution: ExecutionId) -> InboxId {
        InboxId(Uuid::new_v5(&self.0, execution.0.as_bytes()))
    }
}

impl HumanTaskId {
    /// Derives the id of a human task from the execution that asks and the effect in it,
    /// so that it is the same whenever it is asked again.
    #[must_use]
    pub fn of(execution: ExecutionId, effect: u64) -> Self {
        let mixed = Uuid::new_v5(&execution.0, format!("human task {effect}").as_bytes());
        let millis = u64::try_from(execution.0.as_u128() >> 80).unwrap_or(0);
        Self(at_time(mixed, millis))
    }

    /// Derives the id of the word that its execution gets.
    #[must_use]
    pub fn answer(self) -> InboxId {
        InboxId(Uuid::new_v5(&self.0, b"answer"))
    }
}

impl ExecutionId {
    /// Derives the id of the execution of a schedule's tick from the tick's identity, so
    /// that a repeated start finds the first.
    #[must_use]
    pub fn of_tick(schedule: ScheduleId, identity: &str, nominal: Timestamp) -> Self {
        let mixed = Uuid::new_v5(&schedule.0, identity.as_bytes());
        let millis = u64::try_from(nominal.as_millisecond()).unwrap_or(0);
        Self(at_time(mixed, millis))
    }

    /// Derives the id of a child execution from its parent and the effect that
    /// starts it, so that a repeated start finds the first.
    #[must_use]
    pub fn of_child(self, effect: u64) -> Self {
        // Version 5 mixes the parent's bits; the parent's time keeps the order.
        let mixed = Uuid::new_v5(&self.0, &effect.to_be_bytes());
        let millis = u64::try_from(self.0.as_u128() >> 80).unwrap_or(0);
        Self(at_time(mixed, millis))
    }
}

/// Gives mixed bits the place that a time has among the ids.
fn at_time(mixed: Uuid, millis: u64) -> Uuid {
    let mut random = [0_u8; 10];
    random.copy_from_slice(&mixed.as_bytes()[..10]);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededEntropy;

    #[test]
    fn printed_id_parses_back_and_keeps_the_time_order() {
        let entropy = SeededEntropy::new(7);
        let early = ExecutionId::generate(Timestamp::from_millisecond(1_000).unwrap(), &entropy);
        let late = ExecutionId::generate(Timestamp::from_millisecond(2_000).unwrap(), &entropy);
        assert_eq!(early.to_string().parse::<ExecutionId>().unwrap(), early);
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn text_of_another_kind_is_refused() {
        let id = TenantId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(1));
        let text = id.to_string().replace("ten_", "exe_");
        assert!(text.parse::<TenantId>().is_err());
        assert!(
            "ten_zzzzzzzzzzzzzzzzzzzzzzzzzz"
                .parse::<TenantId>()
                .is_err()
        );
        assert!("ten_é".parse::<TenantId>().is_err());
    }

    #[test]
    fn child_ids_are_stable_and_differ_by_effect() {
        let parent = ExecutionId::generate(Timestamp::UNIX_EPOCH, &SeededEntropy::new(1));
        assert_eq!(parent.of_child(1), parent.of_child(1));
        assert_ne!(parent.of_child(1), parent.of_child(2));
    }
}
