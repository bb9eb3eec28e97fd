//! Positions in the text.

use crate::definition::mistake::Position;

/// A stretch of the text, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A definition's text with its lines.
#[derive(Debug)]
pub(crate) struct Source<'t> {
    text: &'t str,
    /// Where each line starts, in characters.
    lines: Vec<usize>,
    /// Where each stretch of characters starts, in bytes.
    stretches: Vec<usize>,
    /// The place after the last visible character, in characters.
    end: usize,
}

/// How many characters a stretch has.
const STRETCH: usize = 256;

impl<'t> Source<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let mut lines = vec![0];
        let mut stretches = Vec::new();
        let mut end = 0;
        for (count, (offset, character)) in text.char_indices().enumerate() {
            if character == '\n' {
                lines.push(count + 1);
            }
            if count % STRETCH == 0 {
                stretches.push(offset);
            }
            if !character.is_whitespace() {
                end = count + 1;
            }
        }
        Self {
            text,
            lines,
            stretches,
            end,
        }
    }

    /// Gives line and column of a character; one past the end counts as the end.
    pub(crate) fn position(&self, index: usize) -> Position {
        let index = index.min(self.end);
        let line = self.lines.partition_point(|start| *start <= index) - 1;
        let start = self.lines[line];
        Position {
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: u32::try_from(index - start + 1).unwrap_or(u32::MAX),
        }
    }

    /// Gives start and end of a stretch; an empty one is widened to one character.
    pub(crate) fn positions(&self, span: Span) -> (Position, Position) {
        let start = span.start.min(self.end.saturating_sub(1));
        let end = span.end.max(start + 1);
        (self.position(start), self.position(end))
    }

    /// Finds the character of the text that became the given byte of a scalar's value.
    ///
    /// Walks the text and the value side by side, so quotes, escapes, folded
    /// lines and indentation are accounted for. Where the two do not fit, the
    /// place up to which they did is given.
    pub(crate) fn inside(&self, span: Span, value: &str, offset: usize) -> usize {
        let raw: Vec<char> = self
            .text
            .get(self.byte(span.start)..self.byte(span.end))
            .unwrap_or_default()
            .chars()
            .collect();
        let wanted = value.get(..offset).unwrap_or(value);
        let at = match raw.first() {
            Some('"') => walk_quoted(&raw, wanted, true),
            Some('\'') => walk_quoted(&raw, wanted, false),
            Some('|' | '>') => walk_block(&raw, wanted),
            _ => walk_plain(&raw, 0, wanted),
        };
        span.start + at.min(raw.len().saturating_sub(1))
    }

    /// Gives the byte at which a character starts.
    fn byte(&self, index: usize) -> usize {
        let Some(start) = self.stretches.get(index / STRETCH) else {
            return self.text.len();
        };
        let rest = self.text.get(*start..).unwrap_or_default();
        rest.char_indices()
            .nth(index % STRETCH)
            .map_or(self.text.len(), |(at, _)| start + at)
    }
}

/// Skips white space of the text while the value has line folding.
fn skip_blank(raw: &[char], mut at: usize) -> usize {
    while raw
        .get(at)
        .is_some_and(|character| character.is_whitespace())
    {
        at += 1;
    }
    at
}

fn walk_plain(raw: &[char], mut at: usize, value: &str) -> usize {
    let mut values = value.chars().peekable();
    while let Some(character) = values.next() {
        let folds = character == '\n' || (character == ' ' && breaks_line(raw, at));
        if folds {
            at = skip_blank(raw, at);
            while values.next_if(|next| *next == '\n').is_some() {}
        } else if raw.get(at) == Some(&character) {
            at += 1;
        } else {
            return at;
        }
    }
    at
}

/// Tells whether only white space is left on the line.
fn breaks_line(raw: &[char], at: usize) -> bool {
    raw.iter()
        .skip(at)
        .take_while(|character| character.is_whitespace())
        .any(|character| *character == '\n')
}

fn walk_quoted(raw: &[char], value: &str, double: bool) -> usize {
    let mut at = 1;
    let mut values = value.chars().peekable();
    while let Some(character) = values.next() {
        while double && raw.get(at) == Some(&'\\') && raw.get(at + 1) == Some(&'\n') {
            at = skip_blank(raw, at + 1);
        }
        match raw.get(at) {
            Some('\\') if double => at += escape_length(raw, at),
            Some('\'') if !double => at += 2,
            Some(next) if *next == character && !breaks_line(raw, at) => at += 1,
            Some(next) if next.is_whitespace() => {
                at = skip_blank(raw, at);
                while values.next_if(|next| *next == '\n').is_some() {}
            }
            _ => return at,
        }
    }
    at
}

/// Gives how many characters of the text an escape takes.
fn escape_length(raw: &[char], at: usize) -> usize {
    match raw.get(at + 1) {
        Some('x') => 4,
        Some('u') => {
            let high = raw
                .get(at + 2..at + 4)
                .is_some_and(|hex| matches!(hex, ['d' | 'D', '8' | '9' | 'a'..='b' | 'A'..='B']));
            if high { 12 } else { 6 }
        }
        Some('U') => 10,
        _ => 2,
    }
}

fn walk_block(raw: &[char], value: &str) -> usize {
    let header = raw.iter().position(|character| *character == '\n');
    let mut at = header.map_or(raw.len(), |header| header + 1);
    let first = raw
        .iter()
        .skip(at)
        .position(|character| !character.is_whitespace())
        .map_or(raw.len(), |first| first + at);
    let indent = first
        - raw[..first]
            .iter()
            .rposition(|c| *c == '\n')
            .map_or(0, |n| n + 1);
    let mut fresh = true;
    for character in value.chars() {
        if fresh {
            at += raw
                .iter()
                .skip(at)
                .take(indent)
                .take_while(|character| **character == ' ')
                .count();
            fresh = false;
        }
        match raw.get(at) {
            Some('\n') => {
                at += 1;
                fresh = true;
            }
            Some(next) if *next == character => at += 1,
            _ => return at,
        }
    }
    if fresh {
        at += indent;
    }
    at
}
