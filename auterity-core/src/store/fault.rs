//! Executions that ended faulted, in groups of the same reason: the dead letters.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::ExecutionRow;
use crate::definition::WorkflowRef;
use crate::interpreter::Problem;

/// Executions that one look counts at most.
pub(super) const COUNTED_MAX: u32 = 100_000;

/// Characters of an error's words that its signature depends on.
const DETAIL_CHARS_MAX: usize = 200;

/// Names faults of the same reason: same workflow, error type, task and words, in which
/// words with digits (numbers, ids, times) count as equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultSignature(u64);

/// Faulted executions of the same reason.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultGroup {
    /// Names the group.
    pub signature: FaultSignature,
    /// How many executions.
    pub count: u64,
    /// When the first of them ended.
    pub first_at: Timestamp,
    /// The one that ended last, with its error.
    pub newest: ExecutionRow,
}

/// The groups of a look at faulted executions.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultGroups {
    /// The one with the latest fault first.
    pub groups: Vec<FaultGroup>,
    /// Whether there is more than was looked at: groups, or executions that were
    /// started so long ago that they are not counted.
    pub partial: bool,
}

impl FaultSignature {
    /// Gives the signature of an execution's error.
    #[must_use]
    pub fn of(workflow: &WorkflowRef, error: &Problem) -> Self {
        let words = error.detail.as_deref().or(error.title.as_deref());
        let words = plain(words.unwrap_or_default());
        let task = error.instance.as_deref().unwrap_or_default();
        let mut digest = Sha256::new();
        for part in [
            &workflow.namespace,
            &workflow.name,
            &error.kind,
            task,
            &words,
        ] {
            // The length keeps neighbours apart.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&digest.finalize()[..8]);
        Self(u64::from_be_bytes(first))
    }

    /// Takes over 64 bits that were a signature before, as a store does.
    #[must_use]
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }

    /// Gives the 64 bits, as a store writes them.
    #[must_use]
    pub const fn to_bits(self) -> i64 {
        self.0.cast_signed()
    }
}

impl ExecutionRow {
    /// Gives the signature of the error that the row holds, if it holds one.
    #[must_use]
    pub fn fault(&self) -> Option<FaultSignature> {
        let error: Problem = serde_json::from_str(self.error.as_deref()?).ok()?;
        Some(FaultSignature::of(&self.workflow, &error))
    }
}

impl fmt::Display for FaultSignature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl fmt::Debug for FaultSignature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The text is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a signature of faults: expected 16 hexadecimal digits")]
pub struct ParseSignatureError;

impl FromStr for FaultSignature {
    type Err = ParseSignatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(bits) if digits => Ok(Self(bits)),
            _ => Err(ParseSignatureError),
        }
    }
}

/// Gives words with `#` for each that holds a digit.
fn plain(words: &str) -> String {
    let mut plain = String::new();
    let mut word = String::new();
    for letter in words.chars().take(DETAIL_CHARS_MAX).chain([' ']) {
        if letter.is_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        let has_digit = word.chars().any(|letter| letter.is_ascii_digit());
        plain.push_str(if has_digit { "#" } else { &word });
        word.clear();
        plain.push(letter);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(name: &str, detail: &str) -> FaultSignature {
        let workflow = WorkflowRef {
            namespace: "n".to_owned(),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
        };
        let error = serde_json::json!({
            "type": "t", "status": 500, "detail": detail, "instance": "/do/0/a",
        });
        FaultSignature::of(&workflow, &serde_json::from_value(error).unwrap())
    }

    #[test]
    fn same_fault_with_other_numbers_has_the_same_signature() {
        let first = "order 17 of exe_01jzz at 2026-01-31T08:00:00Z: no route";
        let second = "order 4711 of exe_01kaa at 2027-11-30T18:30:00Z: no route";
        assert_eq!(plain(first), "order # of # at #-#-#:#:#: no route ");
        assert_eq!(signed("a", first), signed("a", second));
        assert_ne!(signed("a", first), signed("b", first));
        assert_ne!(signed("a", first), signed("a", "no route"));
        let long = "ä ".repeat(500);
        assert_eq!(signed("a", &long), signed("a", &format!("{long} b")));
    }

    #[test]
    fn signature_is_read_as_it_is_written() {
        let signature = signed("a", "no route");
        assert_eq!(Ok(signature), signature.to_string().parse());
        assert_eq!(signature, FaultSignature::from_bits(signature.to_bits()));
        for wrong in [
            "",
            "12",
            "+123456789abcdef",
            "0123456789abcdeg",
            "ä123456789abcde",
        ] {
            assert_eq!(Err(ParseSignatureError), wrong.parse::<FaultSignature>());
        }
    }
}
