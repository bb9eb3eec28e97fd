//! Regular expressions, by an engine that never backtracks.

use std::cell::RefCell;

use jaq_core::native::{self, bome};
use jaq_core::{Cv, Error};
use regex::{Captures, Regex, RegexBuilder};

use super::super::meter;
use super::super::value::{Entries, Number, Val, ValR};
use super::{Data, Run};

/// How long a pattern may be.
const PATTERN_BYTES_MAX: usize = 1_024;
/// How large a compiled pattern may be.
const COMPILED_BYTES_MAX: usize = 512 * 1024;
/// How many compiled patterns one evaluation keeps.
const KEPT_MAX: usize = 16;
/// What compiling counts as.
const COMPILE_OPERATIONS: u64 = 500;
/// How many bytes are searched for one operation.
const SEARCH_BYTES_PER_OPERATION: usize = 128;

thread_local! {
    /// Patterns of the current evaluation; a loop would compile them each time.
    static KEPT: RefCell<Vec<(Flags, String, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// Forgets the patterns of an earlier evaluation, so that each one counts alike.
pub(in crate::expression) fn forget() {
    KEPT.with_borrow_mut(Vec::clear);
}

pub(super) fn natives() -> Vec<Run> {
    vec![
        ("matches", native::v(2), |cv| bome(search(cv, false, true))),
        ("split_matches", native::v(2), |cv| {
            bome(search(cv, true, true))
        }),
        ("split_", native::v(2), |cv| bome(search(cv, true, false))),
    ]
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "jq's flags are independent letters"
)]
struct Flags {
    global: bool,
    skip_empty: bool,
    ignore_case: bool,
    lines: bool,
    dot_all: bool,
    longest: bool,
    extended: bool,
}

impl Flags {
    fn read(letters: &Val) -> Result<Self, super::super::value::Error> {
        let mut flags = Self::default();
        if matches!(letters, Val::Null) {
            return Ok(flags);
        }
        for letter in letters.as_text()?.chars() {
            match letter {
                'g' => flags.global = true,
                'n' => flags.skip_empty = true,
                'i' => flags.ignore_case = true,
                's' => flags.dot_all = true,
                'p' => (flags.lines, flags.dot_all) = (true, true),
                'l' => flags.longest = true,
                'x' => flags.extended = true,
                _ => {
                    return Err(Error::str(
                        "a regular expression's flags are g, i, l, n, p, s, x",
                    ));
                }
            }
        }
        Ok(flags)
    }
}

fn search(mut cv: Cv<'_, Data>, rest: bool, matched: bool) -> ValR {
    let flags = cv.0.pop_var();
    let pattern = cv.0.pop_var();
    let flags = Flags::read(&flags)?;
    let text = cv.1.as_text()?;
    let regex = compiled(pattern.as_text()?, flags)?;
    let mut counter = Characters {
        text,
        at: 0,
        count: 0,
    };
    let mut out = Vec::new();
    let mut searched = 0;
    let mut rest_from = 0;
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { break };
        count_search(text.len() - searched, whole.len(), regex.as_str().len());
        if meter::spent().is_some() {
            break;
        }
        searched = whole.end();
        if flags.skip_empty && whole.is_empty() {
            continue;
        }
        if rest {
            out.push(Val::text(
                text.get(rest_from..whole.start()).unwrap_or_default(),
            ));
            rest_from = whole.end();
        }
        if matched {
            out.push(describe(&captures, &regex, &mut counter));
        }
        if !flags.global {
            break;
        }
    }
    count_search(text.len() - searched, 0, 0);
    if rest {
        out.push(Val::text(text.get(rest_from..).unwrap_or_default()));
    }
    Ok(Val::list(out))
}

/// Counts one search: the engine looks at most at all that is left, and finds
/// the groups of a match in time that also grows with the pattern.
fn count_search(left: usize, matched: usize, pattern: usize) {
    let groups = matched.saturating_mul(pattern + 1) / 16;
    meter::work(1 + (left.saturating_add(groups) / SEARCH_BYTES_PER_OPERATION) as u64);
}

fn compiled(pattern: &str, flags: Flags) -> Result<Regex, super::super::value::Error> {
    let build_flags = Flags {
        global: false,
        skip_empty: false,
        ..flags
    };
    KEPT.with_borrow_mut(|kept| {
        let known = kept
            .iter()
            .find(|(f, p, _)| *f == build_flags && p == pattern);
        if let Some((_, _, regex)) = known {
            meter::work(1);
            return Ok(regex.clone());
        }
        if PATTERN_BYTES_MAX < pattern.len() {
            return Err(Error::str(format_args!(
                "a regular expression is longer than {PATTERN_BYTES_MAX} bytes"
            )));
        }
        meter::work(COMPILE_OPERATIONS + 8 * pattern.len() as u64);
        let built = RegexBuilder::new(pattern)
            .case_insensitive(flags.ignore_case)
            .multi_line(flags.lines)
            .dot_matches_new_line(flags.dot_all)
            .swap_greed(flags.longest)
            .ignore_whitespace(flags.extended)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build();
        let Ok(regex) = built else {
            return Err(Error::str("not a regular expression, or a too large one"));
        };
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push((build_flags, pattern.to_owned(), regex.clone()));
        Ok(regex)
    })
}

/// Gives the whole match and each group as jq describes them.
fn describe(captures: &Captures<'_>, regex: &Regex, counter: &mut Characters<'_>) -> Val {
    let start = captures.get(0).map_or(0, |whole| whole.start());
    let base = counter.advance(start);
    let groups = captures.iter().zip(regex.capture_names());
    let described = groups.enumerate().map(|(index, (group, name))| {
        let mut entries = Entries::new();
        let number = |value: usize| Val::from(value);
        let (offset, length, string) = match group {
            Some(group) => {
                let text = counter.text;
                let before = text.get(start..group.start()).unwrap_or_default();
                let offset = base + before.chars().count();
                let length = group.as_str().chars().count();
                (number(offset), number(length), Val::text(group.as_str()))
            }
            None => (Val::Number(Number::Int(-1)), number(0), Val::Null),
        };
        entries.insert("offset".into(), offset);
        entries.insert("length".into(), length);
        entries.insert("string".into(), string);
        if 0 < index {
            entries.insert("name".into(), name.map_or(Val::Null, Val::text));
        }
        Val::object(entries)
    });
    described.collect()
}

/// Counts the characters of a text up to places that come in order.
struct Characters<'t> {
    text: &'t str,
    at: usize,
    count: usize,
}

impl Characters<'_> {
    fn advance(&mut self, to: usize) -> usize {
        let between = self.text.get(self.at..to).unwrap_or_default();
        self.count += between.chars().count();
        self.at = to;
        self.count
    }
}
