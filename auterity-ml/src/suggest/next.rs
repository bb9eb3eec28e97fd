//! The next activity: counts by the last activities, with back-off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::history::Case;

/// Stands before the first activity of a case.
const START: u32 = u32::MAX;
/// Stands behind the last activity of a case.
pub(super) const END: u32 = u32::MAX - 1;
/// Stands for an activity that was never seen.
const UNKNOWN: u32 = u32::MAX - 2;

/// Activities with how often they came, the most frequent first.
type Followers = Vec<(u32, u64)>;

/// How often which activity came after which last activities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NextTable {
    /// How many last activities are looked at, at most.
    pub(super) order: usize,
    /// Lists, since keys of JSON are texts.
    contexts: Vec<(Vec<u32>, Followers)>,
}

/// What was found after the last activities.
pub(super) struct Found<'t> {
    /// How many last activities were known.
    pub(super) used: usize,
    /// What came next, the most frequent first, [`END`] included.
    pub(super) counts: &'t [(u32, u64)],
}

impl NextTable {
    /// Counts what followed in cases.
    pub(super) fn train(cases: &[Case], order: usize) -> Self {
        let mut contexts: BTreeMap<Vec<u32>, BTreeMap<u32, u64>> = BTreeMap::new();
        for case in cases {
            let whole = anchored(&case.activities);
            for length in 1..=case.activities.len() {
                let next = whole.get(length + 1).copied().unwrap_or(END);
                for used in 0..=order.min(length + 1) {
                    let context = whole[length + 1 - used..=length].to_vec();
                    *contexts
                        .entry(context)
                        .or_default()
                        .entry(next)
                        .or_insert(0) += 1;
                }
            }
        }
        let contexts = contexts.into_iter().map(|(context, counts)| {
            let mut counts: Followers = counts.into_iter().collect();
            counts.sort_by_key(|&(next, count)| (std::cmp::Reverse(count), next));
            (context, counts)
        });
        Self {
            order,
            contexts: contexts.collect(),
        }
    }

    /// Finds what came after some activities: by as many of the last ones as were seen.
    pub(super) fn find(&self, activities: &[Option<u32>]) -> Option<Found<'_>> {
        let whole = anchored(activities);
        let longest = self.order.min(whole.len());
        (0..=longest).rev().find_map(|used| {
            let context = &whole[whole.len() - used..];
            let place = self
                .contexts
                .binary_search_by(|(it, _)| it.as_slice().cmp(context));
            let place = place.ok()?;
            Some(Found {
                used,
                counts: &self.contexts[place].1,
            })
        })
    }

    /// The most frequent next activity after some activities; without the end, the most
    /// frequent among those contexts in which the case went on.
    pub(super) fn guess(&self, activities: &[Option<u32>], with_end: bool) -> Option<u32> {
        let whole = anchored(activities);
        let longest = self.order.min(whole.len());
        (0..=longest).rev().find_map(|used| {
            let context = &whole[whole.len() - used..];
            let place = self
                .contexts
                .binary_search_by(|(it, _)| it.as_slice().cmp(context));
            let counts = &self.contexts[place.ok()?].1;
            let mut all = counts.iter().map(|&(next, _)| next);
            all.find(|&next| with_end || next != END)
        })
    }
}

/// The activities behind the sign of the start.
fn anchored(activities: &[Option<u32>]) -> Vec<u32> {
    let known = activities.iter().map(|it| it.unwrap_or(UNKNOWN));
    std::iter::once(START).chain(known).collect()
}
