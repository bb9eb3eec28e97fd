//! From text to a definition.

use serde_json::Value;

use super::document::Definition;
use super::limits::Limits;
use super::mistake::{Finding, Mistake, Place};
use super::parse::{Node, Source, Span, build};
use super::record::Reader;

/// Reads a definition from YAML or JSON.
///
/// Checks everything that can be told from the text's form: properties, types,
/// words, names, versions, durations, URIs. What needs more (jump targets,
/// expressions, references) is checked by [`compile`](super::compile()).
///
/// # Errors
/// Gives all mistakes, in the order of their places.
pub fn parse(text: &str, limits: &Limits) -> Result<Definition, Vec<Mistake>> {
    let source = Source::new(text);
    let reading = Reading::new(text, &source, limits);
    match reading.definition {
        Some(definition) if reading.mistakes.is_empty() => Ok(definition),
        _ => Err(finish(reading.mistakes, limits)),
    }
}

/// Reads any YAML or JSON as data.
///
/// # Errors
/// Gives the first mistake, with line and column.
pub(crate) fn read_data(text: &str, limits: &Limits) -> Result<Value, String> {
    let source = Source::new(text);
    let (tree, mistakes) = match refuse_text(text, &source, limits) {
        Some(mistake) => (None, vec![mistake]),
        None => build(text, &source, limits),
    };
    match (tree, mistakes.first()) {
        (Some(tree), None) => Ok(tree.to_value()),
        (_, Some(mistake)) => {
            let (line, column) = (mistake.start.line, mistake.start.column);
            Err(format!("line {line}, column {column}: {}", mistake.message))
        }
        (None, None) => Err("the text is empty".to_owned()),
    }
}

/// What could be read of a text, and what is wrong with it.
pub(super) struct Reading {
    pub(super) tree: Option<Node>,
    pub(super) definition: Option<Definition>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Reading {
    pub(super) fn new(text: &str, source: &Source<'_>, limits: &Limits) -> Self {
        if let Some(mistake) = refuse_text(text, source, limits) {
            return Self {
                tree: None,
                definition: None,
                mistakes: vec![mistake],
            };
        }
        let (tree, mut mistakes) = build(text, source, limits);
        let mut definition = None;
        if let Some(tree) = &tree {
            let mut reader = Reader::new(limits.mistakes_max);
            definition = Definition::read(tree, &mut reader);
            locate(reader.into_findings(), tree, source, &mut mistakes);
        }
        Self {
            tree,
            definition,
            mistakes,
        }
    }
}

/// Refuses a text that should not be looked at any closer.
fn refuse_text(text: &str, source: &Source<'_>, limits: &Limits) -> Option<Mistake> {
    let (at, code, message, hint) = if limits.text_bytes_max < text.len() {
        let message = format!(
            "the text has {} bytes, and {} are possible",
            text.len(),
            limits.text_bytes_max
        );
        let hint = "split the workflow into several (limit text_bytes_max)";
        (0, "text_too_long", message, hint)
    } else {
        let is_bad = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{7f}');
        let at = text.chars().position(is_bad)?;
        let code = u32::from(text.chars().nth(at)?);
        let message = format!("the control character U+{code:04X} is not possible in a text");
        let hint = "write it as an escape in a quoted text, such as \"\\u0001\"";
        (at, "bad_character", message, hint)
    };
    let (start, end) = source.positions(Span {
        start: at,
        end: at + 1,
    });
    Some(Mistake {
        code,
        pointer: String::new(),
        message,
        hint: Some(hint.to_owned()),
        start,
        end,
    })
}

/// Looks up where the findings are.
pub(super) fn locate(
    findings: Vec<Finding>,
    tree: &Node,
    source: &Source<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    for finding in findings {
        let (start, end) = source.positions(span_of(&finding, tree, source));
        mistakes.push(Mistake {
            code: finding.code,
            pointer: finding.pointer,
            message: finding.message,
            hint: finding.hint,
            start,
            end,
        });
    }
}

fn span_of(finding: &Finding, tree: &Node, source: &Source<'_>) -> Span {
    let mut pointer = finding.pointer.as_str();
    loop {
        if let Some((node, key)) = tree.find_with_key(pointer) {
            let complete = pointer.len() == finding.pointer.len();
            return match (finding.place, key) {
                (Place::Value, _) if complete => node.span,
                (Place::Inside(offset), _) if complete => {
                    let start = match &node.value {
                        super::parse::NodeValue::Text(text) => {
                            source.inside(node.span, text, offset)
                        }
                        _ => node.span.start,
                    };
                    Span {
                        start,
                        end: node.span.end,
                    }
                }
                (_, Some(key)) => key,
                (_, None) => head(node),
            };
        }
        match pointer.rsplit_once('/') {
            Some((parent, _)) => pointer = parent,
            None => return tree.span,
        }
    }
}

/// Gives what stands for a value that has no key: its first key, or all of it.
fn head(node: &Node) -> Span {
    match node.entries().and_then(<[_]>::first) {
        Some(entry) => entry.key_span,
        None => node.span,
    }
}

/// Puts mistakes into the order of their places, each once.
pub(super) fn finish(mut mistakes: Vec<Mistake>, limits: &Limits) -> Vec<Mistake> {
    mistakes.sort_by(|left, right| {
        (left.start, &left.pointer, left.code).cmp(&(right.start, &right.pointer, right.code))
    });
    mistakes.dedup();
    mistakes.truncate(limits.mistakes_max);
    for mistake in &mut mistakes {
        mistake.message = on_one_line(&mistake.message);
        mistake.hint = mistake.hint.take().map(|hint| on_one_line(&hint));
    }
    mistakes
}

/// Makes a message safe to show: what it quotes from the text may have line breaks
/// and control characters, and may be long.
fn on_one_line(text: &str) -> String {
    const LENGTH_MAX: usize = 500;
    let mut line = String::with_capacity(text.len());
    for (count, character) in text.chars().enumerate() {
        if count == LENGTH_MAX {
            line.push('…');
            break;
        }
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
