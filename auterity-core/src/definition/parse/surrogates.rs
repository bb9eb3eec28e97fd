//! Escaped surrogate pairs, which JSON has and YAML has not.

use std::borrow::Cow;
use std::fmt::Write;

const SURROGATE_PAIR: usize = "\\ud83d\\ude00".len();
const LONG_ESCAPE: usize = "\\U0001F600".len();

/// A text without surrogate pairs.
#[derive(Debug)]
pub(super) struct Joined<'t> {
    pub(super) text: Cow<'t, str>,
    /// Where rewritten pairs start, in characters of this text.
    pairs: Vec<usize>,
}

impl<'t> Joined<'t> {
    /// Rewrites JSON's `\ud83d\ude00` as YAML's `\U0001F600`, which is one character too.
    ///
    /// YAML has no surrogate pairs, and JSON has no other way to escape such a
    /// character. Only a text that starts like JSON is touched.
    pub(super) fn new(text: &'t str) -> Self {
        join(text)
    }

    /// Gives the place in the original text of a place in this one.
    pub(super) fn original(&self, index: usize) -> usize {
        let before = self.pairs.partition_point(|pair| *pair < index);
        index + before * (SURROGATE_PAIR - LONG_ESCAPE)
    }
}

fn join(text: &str) -> Joined<'_> {
    let mut joined = Joined {
        text: Cow::Borrowed(text),
        pairs: Vec::new(),
    };
    let is_json = text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with(['{', '[']);
    if !is_json || !text.contains("\\u") {
        return joined;
    }
    let mut output = String::with_capacity(text.len());
    let mut count = 0;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let mut taken = character.len_utf8();
        if character == '\\' {
            if let Some(code) = surrogate_pair(rest) {
                let written = write!(output, "\\U{code:08X}");
                debug_assert!(written.is_ok(), "writing to a string cannot fail");
                joined.pairs.push(count);
                count += LONG_ESCAPE;
                rest = rest.get(SURROGATE_PAIR..).unwrap_or_default();
                continue;
            }
            taken += rest
                .get(1..)
                .and_then(|rest| rest.chars().next())
                .map_or(0, char::len_utf8);
        }
        let piece = rest.get(..taken).unwrap_or(rest);
        output.push_str(piece);
        count += piece.chars().count();
        rest = rest.get(taken..).unwrap_or_default();
    }
    joined.text = Cow::Owned(output);
    joined
}

/// Reads an escaped surrogate pair at the start of the text.
fn surrogate_pair(text: &str) -> Option<u32> {
    let unit = |from: usize| -> Option<u32> {
        let hex = text.get(from..from + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(hex, 16).ok()
    };
    let (high, low) = (unit(0)?, unit(6)?);
    let is_pair = (0xD800..0xDC00).contains(&high) && (0xDC00..0xE000).contains(&low);
    is_pair.then(|| 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}
