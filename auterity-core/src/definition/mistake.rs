//! What is wrong with a definition, and where.

use std::fmt;

use serde::Serialize;

use super::text::shown;

/// A place in a definition's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// What kind of mistake it is; stable, for programs.
    pub code: &'static str,
    /// The key or value that is wrong, as JSON pointer.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where it starts.
    pub start: Position,
    /// Where it ends: the place after its last character.
    pub end: Position,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.start, self.message)?;
        match &self.hint {
            Some(hint) => write!(out, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Renders mistakes for a terminal, one per line, as `file:line:column: message (hint)`.
#[must_use]
pub fn diagnose(file: &str, mistakes: &[Mistake]) -> String {
    let mut text = String::new();
    for mistake in mistakes {
        text.push_str(file);
        text.push(':');
        text.push_str(&mistake.start.to_string());
        text.push_str(": ");
        text.push_str(&mistake.message);
        if let Some(hint) = &mistake.hint {
            text.push_str(" (");
            text.push_str(hint);
            text.push(')');
        }
        text.push('\n');
    }
    text
}

/// Which part of a pointer's place is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The key; for a member of a list, its value.
    Key,
    /// The value.
    Value,
    /// This byte of a text value, after quotes and escapes were resolved.
    Inside(usize),
}

/// A mistake whose position is not looked up yet.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) code: &'static str,
    pub(crate) pointer: String,
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Finding {
    pub(crate) fn new(
        code: &'static str,
        pointer: impl Into<String>,
        place: Place,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            pointer: pointer.into(),
            place,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Adds one segment to a JSON pointer.
pub(crate) fn pointer_join(pointer: &str, segment: &str) -> String {
    let mut joined = String::with_capacity(pointer.len() + segment.len() + 1);
    joined.push_str(pointer);
    pointer_push(&mut joined, segment);
    joined
}

/// Adds several segments, which need no escapes and are written with slashes.
pub(crate) fn pointer_path(pointer: &str, path: &str) -> String {
    format!("{pointer}/{path}")
}

/// Adds one segment to a JSON pointer, in place.
pub(crate) fn pointer_push(pointer: &mut String, segment: &str) {
    pointer.push('/');
    for character in segment.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// Suggests the known word that the given one was probably meant to be.
pub(crate) fn did_you_mean<'k>(
    given: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    const LENGTH_MAX: usize = 64;
    /// More words are not looked at, so that a suggestion stays cheap.
    const WORDS_MAX: usize = 1_000;
    let length = given.chars().count();
    if LENGTH_MAX < length {
        return None;
    }
    let allowed = match length {
        0..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    let lower = given.to_lowercase();
    known
        .into_iter()
        .take(WORDS_MAX)
        .filter(|word| word.len() <= 2 * LENGTH_MAX)
        .map(|word| (distance(&lower, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= allowed && *distance < word.chars().count().max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Says what to do about a word that is not among the known ones.
pub(crate) fn suggestion<'k>(
    given: &str,
    known: impl IntoIterator<Item = &'k str> + Clone,
    what: &str,
) -> String {
    const SHOWN_MAX: usize = 20;
    if let Some(word) = did_you_mean(given, known.clone()) {
        return format!("did you mean \"{word}\"?");
    }
    let mut words: Vec<String> = known.into_iter().map(shown).collect();
    if words.is_empty() {
        return format!("there is no {what}");
    }
    let more = words.len().saturating_sub(SHOWN_MAX);
    words.truncate(SHOWN_MAX);
    match more {
        0 => format!("known: {}", words.join(", ")),
        more => format!("known: {} and {more} more", words.join(", ")),
    }
}

/// Counts the edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut last = None;
    for (row, character) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(character != *other);
            let mut cost = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = 0 < column && last == Some(*other) && right[column - 1] == character;
            if swapped && 0 < row {
                cost = cost.min(before[column - 1] + 1);
            }
            current.push(cost);
        }
        last = Some(character);
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, distance, pointer_join};

    #[test]
    fn distance_counts_edits() {
        let table = [
            ("timeout", "timeout", 0),
            ("timeuot", "timeout", 1),
            ("tiemout", "timeout", 1),
            ("", "set", 3),
            ("set", "", 3),
            ("branch", "branches", 2),
            ("wait", "await", 1),
        ];
        for (left, right, expected) in table {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn suggestions_are_near() {
        let known = ["call", "do", "switch", "wait"];
        assert_eq!(did_you_mean("cal", known), Some("call"));
        assert_eq!(did_you_mean("Switch", known), Some("switch"));
        assert_eq!(did_you_mean("swich", known), Some("switch"));
        assert_eq!(did_you_mean("entirelyElse", known), None);
        assert_eq!(did_you_mean("x", known), None);
    }

    #[test]
    fn pointers_escape() {
        assert_eq!(pointer_join("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
