//! Variants: the different orders of activities that cases take.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use sha2::{Digest, Sha256};

use super::event_log::EventLog;
use crate::num::u32_of;

/// The different sequences of activities of a log.
#[derive(Debug, Clone)]
pub struct Variants {
    of_case: Vec<u32>,
    list: Vec<Variant>,
}

/// One sequence of activities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The first case that has it, which shows it.
    pub first_case: u32,
    /// How many cases have it.
    pub count: u64,
}

impl Variants {
    /// Finds the variants of a log: the most frequent first, and those that are equally
    /// frequent in the order of their labels.
    #[must_use]
    pub fn of(log: &EventLog) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut table: HashTable<u32> = HashTable::new();
        let mut hashes: Vec<u64> = Vec::new();
        let mut list: Vec<Variant> = Vec::new();
        let mut of_case = Vec::with_capacity(log.cases());
        for case in 0..log.cases() {
            let trace = log.trace(case);
            let hash = hasher.hash_one(trace);
            let same = |&variant: &u32| {
                let first = list[variant as usize].first_case;
                log.trace(first as usize) == trace
            };
            let known = table.find(hash, same).copied();
            let variant = known.unwrap_or_else(|| {
                let variant = u32_of(list.len());
                list.push(Variant {
                    first_case: u32_of(case),
                    count: 0,
                });
                hashes.push(hash);
                table.insert_unique(hash, variant, |&other| hashes[other as usize]);
                variant
            });
            list[variant as usize].count += 1;
            of_case.push(variant);
        }
        let mut variants = Self { of_case, list };
        variants.sort(log);
        variants
    }

    fn sort(&mut self, log: &EventLog) {
        let ranks = ranks(log);
        let key = |variant: &Variant| {
            let trace = log.trace(variant.first_case as usize);
            trace.iter().map(|&activity| ranks[activity as usize])
        };
        let mut order: Vec<u32> = (0..u32_of(self.list.len())).collect();
        order.sort_unstable_by(|&a, &b| {
            let (a, b) = (&self.list[a as usize], &self.list[b as usize]);
            b.count.cmp(&a.count).then_with(|| key(a).cmp(key(b)))
        });
        let mut places = vec![0; order.len()];
        for (place, &variant) in order.iter().enumerate() {
            places[variant as usize] = u32_of(place);
        }
        self.list = order.iter().map(|&it| self.list[it as usize]).collect();
        for variant in &mut self.of_case {
            *variant = places[*variant as usize];
        }
    }

    /// Gives the variants.
    #[must_use]
    pub fn list(&self) -> &[Variant] {
        &self.list
    }

    /// Gives the number of a case's variant in [`Self::list`].
    #[must_use]
    pub fn of_case(&self, case: usize) -> usize {
        self.of_case[case] as usize
    }

    /// Gives the activities of a variant.
    #[must_use]
    pub fn trace<'l>(&self, log: &'l EventLog, variant: usize) -> &'l [u32] {
        log.trace(self.list[variant].first_case as usize)
    }

    /// Gives a digest of all variants with their counts, by which logs can be compared:
    /// the SHA-256 over the variants in the order of their labels, each as its labels
    /// joined by U+001F, then U+001E, the count and a line end.
    #[must_use]
    pub fn digest(&self, log: &EventLog) -> String {
        let ranks = ranks(log);
        let mut order: Vec<usize> = (0..self.list.len()).collect();
        let key = |variant: usize| {
            let trace = self.trace(log, variant).iter();
            trace.map(|&activity| ranks[activity as usize])
        };
        order.sort_unstable_by(|&a, &b| key(a).cmp(key(b)));
        let mut hash = Sha256::new();
        for variant in order {
            for (place, &activity) in self.trace(log, variant).iter().enumerate() {
                if 0 < place {
                    hash.update(b"\x1f");
                }
                hash.update(log.activities.name(activity));
            }
            hash.update(format!("\x1e{}\n", self.list[variant].count));
        }
        let mut text = String::with_capacity(64);
        for byte in hash.finalize() {
            for half in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(half), 16));
            }
        }
        text
    }
}

/// The place of each activity in the order of the labels.
fn ranks(log: &EventLog) -> Vec<u32> {
    let mut ranks = vec![0; log.activities.len()];
    for (rank, &activity) in log.activities.sorted().iter().enumerate() {
        ranks[activity as usize] = u32_of(rank);
    }
    ranks
}
