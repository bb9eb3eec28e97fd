//! Reads jq's grammar: bounds on the source, positions of mistakes, names used.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use jaq_core::load::lex::{self, Lexer, StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Parser, Pattern, Term};
use jaq_core::load::span;
use jaq_core::path::Part;

use super::error::CompileError;

/// How long an expression may be.
pub(super) const SOURCE_BYTES_MAX: usize = 16 * 1024;
/// How deeply brackets and interpolations may be nested.
const NESTING_MAX: usize = 48;
/// How deep the parsed term may be, since the interpreter recurses into it.
const DEPTH_MAX: usize = 128;
/// How many tokens there may be.
const TOKENS_MAX: usize = 4_096;
/// How much depth a definition counts as, since more calls lie between.
const DEFINITION_DEPTH: usize = 4;
/// The other words that make a term deeper, as operators do.
const NESTING_WORDS: [&str; 13] = [
    "and", "as", "break", "catch", "elif", "else", "foreach", "if", "label", "or", "reduce",
    "then", "try",
];

/// Parses a source after bounding what the parser has to recurse into.
pub(super) fn tokens(source: &str) -> Result<Vec<Token<&str>>, CompileError> {
    if SOURCE_BYTES_MAX < source.len() {
        let message = format!("the expression is longer than {SOURCE_BYTES_MAX} bytes");
        return Err(CompileError::new(message, SOURCE_BYTES_MAX));
    }
    nesting(source)?;
    let tokens = Lexer::new(source).lex().map_err(|mistakes| {
        let first = mistakes.into_iter().next();
        let (expected, found) = first.unwrap_or((lex::Expect::Token, source));
        let offset = span(source, found).start;
        CompileError::new(format!("expected {} here", expected.as_str()), offset)
    })?;
    let mut count = 0;
    let depth = depth_bound(&tokens, false, &mut count);
    if DEPTH_MAX < depth || TOKENS_MAX < count {
        let mistake = CompileError::new("the expression is too complex", 0);
        return Err(mistake.with_hint("split it over several tasks or named definitions"));
    }
    Ok(tokens)
}

/// Gives how deep the term of these tokens can be at most, lists by comma aside,
/// before the parser recurses into it.
fn depth_bound(tokens: &[Token<&str>], object: bool, count: &mut usize) -> usize {
    let mut inner = 0;
    let mut current = 0;
    let mut most = 0;
    for Token(text, kind) in tokens {
        *count += 1;
        match kind {
            Tok::Block(tokens) => {
                inner = inner.max(1 + depth_bound(tokens, text.starts_with('{'), count));
            }
            Tok::Str(pieces) => {
                for piece in pieces {
                    if let StrPart::Term(Token(_, Tok::Block(tokens))) = piece {
                        inner = inner.max(1 + depth_bound(tokens, false, count));
                    }
                }
            }
            Tok::Sym if *text == ";" || (object && *text == ",") => current = 0,
            Tok::Sym if matches!(*text, "," | ":" | "?" | ".") || text.starts_with('.') => {}
            Tok::Sym => current += 1,
            Tok::Word if *text == "def" => current += DEFINITION_DEPTH,
            Tok::Word if NESTING_WORDS.contains(text) => current += 1,
            Tok::Word | Tok::Var | Tok::Fmt | Tok::Num => {}
        }
        most = most.max(current);
    }
    most + inner
}

/// Parses tokens of `source` as one expression.
pub(super) fn parse<'s>(
    source: &'s str,
    tokens: &[Token<&'s str>],
) -> Result<Term<&'s str>, CompileError> {
    Parser::new(tokens).parse(Parser::term).map_err(|mistakes| {
        let Some((expected, found)) = mistakes.into_iter().next() else {
            return CompileError::new("not an expression", 0);
        };
        let found = Token::opt_as_str(found, source);
        let offset = span(source, found).start;
        CompileError::new(format!("expected {} here", expected.as_str()), offset)
    })
}

/// Refuses a source whose brackets are nested too deeply, since lexer and
/// parser recurse into them.
fn nesting(source: &str) -> Result<(), CompileError> {
    /// What a closing character ends.
    #[derive(PartialEq)]
    enum Open {
        Bracket,
        Text,
    }
    let mut open: Vec<Open> = Vec::new();
    let mut characters = source.char_indices().peekable();
    while let Some((offset, character)) = characters.next() {
        let in_text = open.last() == Some(&Open::Text);
        match character {
            '\\' if in_text => match characters.next() {
                Some((_, '(')) => open.push(Open::Bracket),
                _ => continue,
            },
            '"' if in_text => {
                open.pop();
            }
            _ if in_text => {}
            '"' => open.push(Open::Text),
            '(' | '[' | '{' => open.push(Open::Bracket),
            ')' | ']' | '}' => {
                open.pop();
            }
            '#' => while characters.next_if(|(_, next)| *next != '\n').is_some() {},
            _ => {}
        }
        if NESTING_MAX < open.len() {
            let message = format!("brackets are nested deeper than {NESTING_MAX}");
            return Err(CompileError::new(message, offset));
        }
    }
    Ok(())
}

/// Gives a text that is written out, without anything computed inside.
pub(super) fn plain_text(term: &Term<&str>) -> Option<String> {
    let Term::Str(None, pieces) = term else {
        return None;
    };
    let mut text = String::new();
    for piece in pieces {
        match piece {
            StrPart::Str(part) => text.push_str(part),
            StrPart::Char(character) => text.push(*character),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}

/// Which members of a value an expression can look at; none: all of it.
pub(super) type Members = Option<BTreeSet<String>>;

/// The names that a term mentions.
#[derive(Debug, Default)]
pub(super) struct Names<'s> {
    /// Without `$`, with what is wanted of them; names bound inside the term included.
    pub(super) variables: BTreeMap<&'s str, Members>,
    /// Calls with their number of arguments, of definitions inside included.
    pub(super) calls: BTreeSet<(&'s str, usize)>,
    /// Whether the input is mentioned (`.`, a path, `..`).
    pub(super) input: bool,
}

impl<'s> Names<'s> {
    pub(super) fn of(term: &Term<&'s str>) -> Self {
        let mut names = Self::default();
        names.term(term);
        names
    }

    fn term(&mut self, term: &Term<&'s str>) {
        match term {
            Term::Id | Term::Recurse => self.input = true,
            Term::Num(_) | Term::Arr(None) | Term::Break(_) => {}
            Term::Str(format, pieces) => {
                if let Some(format) = format {
                    self.calls.insert((*format, 0));
                }
                for piece in pieces {
                    if let StrPart::Term(term) = piece {
                        self.term(term);
                    }
                }
            }
            Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::Obj(entries) => {
                for (key, value) in entries {
                    self.term(key);
                    match value {
                        Some(value) => self.term(value),
                        None => self.input |= !matches!(key, Term::Var(_)),
                    }
                }
            }
            Term::BinOp(left, operator, right) => {
                self.term(left);
                if let BinaryOp::Pipe(Some(pattern)) = operator {
                    self.pattern(pattern);
                }
                self.term(right);
            }
            Term::Fold(_, source, pattern, arguments) => {
                self.term(source);
                self.pattern(pattern);
                self.terms(arguments);
            }
            Term::TryCatch(body, handler) => {
                self.term(body);
                self.terms(handler.as_deref());
            }
            Term::IfThenElse(cases, otherwise) => {
                for (condition, then) in cases {
                    self.term(condition);
                    self.term(then);
                }
                self.terms(otherwise.as_deref());
            }
            Term::Def(definitions, body) => {
                for definition in definitions {
                    self.term(&definition.body);
                }
                self.term(body);
            }
            Term::Call(name, arguments) => {
                self.calls.insert((*name, arguments.len()));
                self.terms(arguments);
            }
            Term::Var(name) => {
                self.variables.insert(bare(name), None);
            }
            Term::Path(inner, path) => {
                match (&**inner, first_key(path)) {
                    (Term::Var(name), Some(key)) => self.member(bare(name), key),
                    _ => self.term(inner),
                }
                self.path(path);
            }
        }
    }

    fn member(&mut self, variable: &'s str, key: String) {
        match self.variables.entry(variable) {
            Entry::Vacant(free) => {
                free.insert(Some(BTreeSet::from([key])));
            }
            Entry::Occupied(mut known) => {
                if let Some(members) = known.get_mut() {
                    members.insert(key);
                }
            }
        }
    }

    fn path(&mut self, path: &jaq_core::path::Path<Term<&'s str>>) {
        for (part, _) in &path.0 {
            match part {
                Part::Index(index) => self.term(index),
                Part::Range(from, to) => {
                    self.terms(from);
                    self.terms(to);
                }
            }
        }
    }

    fn terms<'t>(&mut self, terms: impl IntoIterator<Item = &'t Term<&'s str>>)
    where
        's: 't,
    {
        for term in terms {
            self.term(term);
        }
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) {
        match pattern {
            Pattern::Var(_) => {}
            Pattern::Arr(items) => {
                for item in items {
                    self.pattern(item);
                }
            }
            Pattern::Obj(entries) => {
                for (key, item) in entries {
                    self.term(key);
                    self.pattern(item);
                }
            }
        }
    }
}

fn bare(name: &str) -> &str {
    name.strip_prefix('$').unwrap_or(name)
}

/// Gives the key that a path starts with, if it is written out.
pub(super) fn first_key(path: &jaq_core::path::Path<Term<&str>>) -> Option<String> {
    match path.0.first()? {
        (Part::Index(index), _) => plain_text(index),
        (Part::Range(..), _) => None,
    }
}
