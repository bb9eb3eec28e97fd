//! Makes a parsed filter stoppable.
//!
//! Every way in which jq can go on for long passes a definition's body, the right
//! side of a comma, a computed index or an iteration over a value. Iterations end
//! by themselves once the budget is used up; at the other places this puts a call
//! of a native filter that counts and halts.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

/// The native filter that counts a call and halts when the budget is used up; no
/// source can spell it.
pub(super) const CALL: &str = "!call";
/// As [`CALL`], for recursive definitions with function parameters.
pub(super) const CALL_WITH_CLOSURE: &str = "!call_with_closure";

/// The definitions around a term, as name and arity.
pub(super) type Around<'s> = Vec<(&'s str, usize)>;

/// Guards a definition.
pub(super) fn definition<'s>(definition: Def<&'s str>, around: &mut Around<'s>) -> Def<&'s str> {
    let Def { name, args, body } = definition;
    let closures = args.iter().any(|argument| !argument.starts_with('$'));
    let key = (name, args.len());
    around.push(key);
    let body = term(body, around);
    around.pop();
    let count = if closures && calls(&body, key) {
        CALL_WITH_CLOSURE
    } else {
        CALL
    };
    Def {
        name,
        args,
        body: after(count, body),
    }
}

/// Guards a term.
pub(super) fn term<'s>(given: Term<&'s str>, around: &mut Around<'s>) -> Term<&'s str> {
    let mut boxed = |inner: Box<Term<&'s str>>| Box::new(term(*inner, around));
    match given {
        Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Var(_)
        | Term::Break(_)
        | Term::Arr(None) => given,
        Term::Str(format, pieces) => Term::Str(format, pieces_of(pieces, around)),
        Term::Arr(Some(inner)) => Term::Arr(Some(boxed(inner))),
        Term::Neg(inner) => Term::Neg(boxed(inner)),
        Term::Label(name, inner) => Term::Label(name, boxed(inner)),
        Term::TryCatch(body, handler) => {
            let body = boxed(body);
            Term::TryCatch(body, handler.map(boxed))
        }
        Term::Obj(entries) => {
            let entry = |(key, value): (Term<&'s str>, Option<Term<&'s str>>)| {
                let key = term(key, around);
                (key, value.map(|value| term(value, around)))
            };
            Term::Obj(entries.into_iter().map(entry).collect())
        }
        Term::BinOp(_, BinaryOp::Comma, _) => comma(given, around),
        Term::BinOp(left, operator, right) => {
            let left = boxed(left);
            let right = boxed(right);
            let operator = match operator {
                BinaryOp::Pipe(Some(bound)) => BinaryOp::Pipe(Some(pattern(bound, around))),
                operator => operator,
            };
            Term::BinOp(left, operator, right)
        }
        Term::Fold(name, source, bound, arguments) => {
            let source = boxed(source);
            let bound = pattern(bound, around);
            let arguments = arguments.into_iter().map(|argument| term(argument, around));
            Term::Fold(name, source, bound, arguments.collect())
        }
        Term::IfThenElse(cases, otherwise) => {
            let otherwise = otherwise.map(&mut boxed);
            let case = |(condition, then)| (term(condition, around), term(then, around));
            Term::IfThenElse(cases.into_iter().map(case).collect(), otherwise)
        }
        Term::Def(definitions, body) => {
            let body = boxed(body);
            let definitions = definitions
                .into_iter()
                .map(|inner| definition(inner, around));
            Term::Def(definitions.collect(), body)
        }
        Term::Call(name, arguments) => {
            let recursive = around.contains(&(name, arguments.len()));
            let argument = |argument| match term(argument, around) {
                // A closure that is handed on and on is evaluated recursively.
                guarded if recursive => after(CALL, guarded),
                guarded => guarded,
            };
            Term::Call(name, arguments.into_iter().map(argument).collect())
        }
        Term::Path(inner, path) => {
            let inner = boxed(inner);
            Term::Path(inner, places(path, around))
        }
    }
}

/// Guards the places of a path.
fn places<'s>(path: Path<Term<&'s str>>, around: &mut Around<'s>) -> Path<Term<&'s str>> {
    let mut index = |index: Term<&'s str>| match index {
        Term::Num(_) | Term::Str(None, _) if !interpolates(&index) => index,
        index => after(CALL, term(index, around)),
    };
    let part = |(part, opt)| {
        let part = match part {
            Part::Index(place) => Part::Index(index(place)),
            Part::Range(from, to) => Part::Range(from.map(&mut index), to.map(&mut index)),
        };
        (part, opt)
    };
    Path(path.0.into_iter().map(part).collect())
}

/// Guards `a, b, c, …`, balanced so that a long list is not a deep term.
fn comma<'s>(given: Term<&'s str>, around: &mut Around<'s>) -> Term<&'s str> {
    let mut items = Vec::new();
    let mut rest = given;
    while let Term::BinOp(left, BinaryOp::Comma, right) = rest {
        items.push(term(*right, around));
        rest = *left;
    }
    items.push(term(rest, around));
    items.reverse();
    while 1 < items.len() {
        let mut pairs = Vec::with_capacity(items.len().div_ceil(2));
        let mut left_to_pair = items.into_iter();
        while let Some(left) = left_to_pair.next() {
            pairs.push(match left_to_pair.next() {
                Some(right) => {
                    let right = Box::new(after(CALL, right));
                    Term::BinOp(Box::new(left), BinaryOp::Comma, right)
                }
                None => left,
            });
        }
        items = pairs;
    }
    items.pop().unwrap_or_default()
}

fn pattern<'s>(given: Pattern<&'s str>, around: &mut Around<'s>) -> Pattern<&'s str> {
    match given {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => {
            let items = items.into_iter().map(|item| pattern(item, around));
            Pattern::Arr(items.collect())
        }
        Pattern::Obj(entries) => {
            let entry = |(key, value)| (term(key, around), pattern(value, around));
            Pattern::Obj(entries.into_iter().map(entry).collect())
        }
    }
}

fn pieces_of<'s>(
    pieces: Vec<StrPart<&'s str, Term<&'s str>>>,
    around: &mut Around<'s>,
) -> Vec<StrPart<&'s str, Term<&'s str>>> {
    let piece = |piece| match piece {
        StrPart::Term(inner) => StrPart::Term(term(inner, around)),
        other => other,
    };
    pieces.into_iter().map(piece).collect()
}

fn interpolates(text: &Term<&str>) -> bool {
    match text {
        Term::Str(_, pieces) => pieces.iter().any(|piece| matches!(piece, StrPart::Term(_))),
        _ => false,
    }
}

fn after<'s>(native: &'static str, then: Term<&'s str>) -> Term<&'s str> {
    let call = Term::Call(native, Vec::new());
    Term::BinOp(Box::new(call), BinaryOp::Pipe(None), Box::new(then))
}

/// Tells whether a body calls a definition, shadowed or not.
fn calls<'s>(body: &Term<&'s str>, definition: (&'s str, usize)) -> bool {
    super::syntax::Names::of(body).calls.contains(&definition)
}
