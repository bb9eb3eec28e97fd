//! What an expression can look at of its input.
//!
//! jq works on values of its own, so what it is given is copied. An expression that
//! only asks for `.total` is given no more than that, however long the list beside
//! it is.

use std::collections::BTreeSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::Part;

use super::syntax::{Members, first_key};

/// Gives the members of the input that a term can look at.
pub(super) fn input_members(term: &Term<&str>) -> Members {
    let mut members = BTreeSet::new();
    collect(term, &mut members).map(|()| members)
}

/// Adds the members that a term asks for; none where it may ask for anything.
fn collect(term: &Term<&str>, members: &mut BTreeSet<String>) -> Option<()> {
    match term {
        Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => Some(()),
        Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => {
            collect(inner, members)
        }
        Term::Str(None, pieces) => pieces.iter().try_for_each(|piece| match piece {
            StrPart::Term(inner) => collect(inner, members),
            StrPart::Str(_) | StrPart::Char(_) => Some(()),
        }),
        Term::Obj(entries) => entries.iter().try_for_each(|(key, value)| {
            collect(key, members)?;
            match (value, key) {
                (Some(value), _) => collect(value, members),
                // `{$name}` takes a variable, `{name}` a member.
                (None, Term::Var(_)) => Some(()),
                (None, key) => {
                    members.insert(super::syntax::plain_text(key)?);
                    Some(())
                }
            }
        }),
        // What comes after a pipe has another input.
        Term::BinOp(left, BinaryOp::Pipe(None), _) => collect(left, members),
        Term::BinOp(
            left,
            BinaryOp::Pipe(Some(Pattern::Var(_)))
            | BinaryOp::Comma
            | BinaryOp::Alt
            | BinaryOp::Or
            | BinaryOp::And
            | BinaryOp::Math(_)
            | BinaryOp::Cmp(_),
            right,
        ) => {
            collect(left, members)?;
            collect(right, members)
        }
        Term::IfThenElse(cases, Some(otherwise)) => {
            for (condition, then) in cases {
                collect(condition, members)?;
                collect(then, members)?;
            }
            collect(otherwise, members)
        }
        Term::TryCatch(body, None) => collect(body, members),
        Term::Path(inner, path) => {
            match (&**inner, first_key(path)) {
                (Term::Id, Some(key)) => {
                    members.insert(key);
                }
                (inner, _) => collect(inner, members)?,
            }
            path.0.iter().try_for_each(|(part, _)| match part {
                Part::Index(index) => collect(index, members),
                Part::Range(from, to) => {
                    let mut bounds = from.iter().chain(to);
                    bounds.try_for_each(|bound| collect(bound, members))
                }
            })
        }
        // Functions, assignments and folds may look anywhere.
        Term::Id
        | Term::Recurse
        | Term::Str(Some(_), _)
        | Term::BinOp(..)
        | Term::IfThenElse(..)
        | Term::TryCatch(..)
        | Term::Def(..)
        | Term::Fold(..)
        | Term::Call(..) => None,
    }
}
