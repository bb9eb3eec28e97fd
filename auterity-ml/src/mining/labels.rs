//! Texts, each kept once and known by a number.

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::num::u32_of;

/// The number that stands for "no label" in a column.
pub const NO_LABEL: u32 = u32::MAX;

/// Texts, each kept once and known by a number, in the order of their first use.
///
/// The texts lie in one piece of memory of 4 GiB at most.
#[derive(Clone, Default)]
pub struct Labels {
    bytes: String,
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Why a text did not become a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The bytes are no UTF-8.
    NotText,
    /// The memory for labels is used up.
    Full,
}

impl Labels {
    /// Gives the number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Tells whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Gives the text of a label; the empty text for [`NO_LABEL`] and unknown numbers.
    #[must_use]
    pub fn name(&self, label: u32) -> &str {
        let index = label as usize;
        let Some(&end) = self.ends.get(index) else {
            return "";
        };
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        self.bytes
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }

    /// Gives the number of a text, if it is a label.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name.as_bytes());
        self.table
            .find(hash, |&label| self.name(label) == name)
            .copied()
    }

    /// Gives the texts in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..u32_of(self.len())).map(|label| self.name(label))
    }

    /// Gives the number of a text, which becomes a label if it is none yet.
    pub(crate) fn intern(&mut self, name: &[u8]) -> Result<u32, Refused> {
        let hash = self.hasher.hash_one(name);
        let known = self
            .table
            .find(hash, |&label| self.name(label).as_bytes() == name);
        match known {
            Some(&label) => Ok(label),
            None => self.insert(name, hash),
        }
    }

    fn insert(&mut self, name: &[u8], hash: u64) -> Result<u32, Refused> {
        let text = std::str::from_utf8(name).map_err(|_| Refused::NotText)?;
        let end = u32::try_from(self.bytes.len() + text.len()).map_err(|_| Refused::Full)?;
        if NO_LABEL as usize <= self.ends.len() {
            return Err(Refused::Full);
        }
        let label = u32_of(self.ends.len());
        self.bytes.push_str(text);
        self.ends.push(end);
        let Self {
            bytes,
            ends,
            table,
            hasher,
        } = self;
        table.insert_unique(hash, label, |&other| {
            let end = ends[other as usize] as usize;
            let start = match other {
                0 => 0,
                _ => ends[other as usize - 1] as usize,
            };
            hasher.hash_one(&bytes.as_bytes()[start..end])
        });
        Ok(label)
    }

    /// Gives the numbers of all labels, sorted by their texts.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..u32_of(self.len())).collect();
        order.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        order
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Labels, NO_LABEL, Refused};

    #[test]
    fn a_text_is_one_label_however_often_it_comes() {
        let mut labels = Labels::default();
        for _ in 0..3 {
            assert_eq!(labels.intern(b"a"), Ok(0));
            assert_eq!(labels.intern("ü".as_bytes()), Ok(1));
            assert_eq!(labels.intern(b""), Ok(2));
        }
        assert_eq!(labels.iter().collect::<Vec<_>>(), ["a", "ü", ""]);
        assert_eq!(labels.find("ü"), Some(1));
        assert_eq!(labels.find("b"), None);
        assert_eq!(labels.name(NO_LABEL), "");
        assert_eq!(labels.intern(&[0xff]), Err(Refused::NotText));
    }

    #[test]
    fn many_labels_are_all_found() {
        let mut labels = Labels::default();
        for number in 0..20_000_u32 {
            assert_eq!(labels.intern(number.to_string().as_bytes()), Ok(number));
        }
        for number in 0..20_000_u32 {
            assert_eq!(labels.find(&number.to_string()), Some(number));
        }
    }
}
