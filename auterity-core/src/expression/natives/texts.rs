//! Filters on texts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jaq_core::native::{self, bome};
use jaq_core::{Error, ValT};

use super::super::value::{Number, Val, ValR, parse_json, text};
use super::{Run, one, simple, with_argument};

pub(super) fn natives() -> Vec<Run> {
    vec![
        simple("tojson", |cv| one(Ok(Val::text(text(&cv.1))))),
        simple("fromjson", |cv| bome(cv.1.as_text().and_then(parse_json))),
        simple("tonumber_", |cv| bome(cv.1.as_text().and_then(number))),
        simple("implode", |cv| one(implode(&cv.1))),
        simple("decode_base64", |cv| {
            bome(
                cv.1.as_text()
                    .and_then(|encoded| match STANDARD.decode(encoded) {
                        Ok(bytes) => Ok(Val::text(String::from_utf8_lossy(&bytes))),
                        Err(_) => Err(Error::str("cannot decode the string as base64")),
                    }),
            )
        }),
        ("ltrimstr", native::v(1), |cv| {
            with_argument(cv, |value, prefix| {
                Ok(trim(value, &prefix, |text, prefix| {
                    text.strip_prefix(prefix)
                }))
            })
        }),
        ("rtrimstr", native::v(1), |cv| {
            with_argument(cv, |value, suffix| {
                Ok(trim(value, &suffix, |text, suffix| {
                    text.strip_suffix(suffix)
                }))
            })
        }),
    ]
}

fn number(digits: &str) -> ValR {
    let digits = digits.trim();
    let begins_well = digits
        .trim_start_matches('-')
        .starts_with(|character: char| character.is_ascii_digit() || character == '.');
    if begins_well
        && let Ok(Val::Number(number)) = Val::from_num(digits)
        && number.as_float().is_finite()
    {
        return Ok(Val::Number(number));
    }
    Err(Error::str("cannot parse the string as a number"))
}

fn implode(codes: &Val) -> ValR {
    let mut out = String::new();
    for code in codes.as_items()? {
        let character = match code {
            Val::Number(Number::Int(code)) => u32::try_from(*code).ok().and_then(char::from_u32),
            other => return Err(Error::typ(other.clone(), "character code")),
        };
        match character {
            Some(character) => out.push(character),
            None => return Err(Error::str("a number is no character's code")),
        }
    }
    Ok(Val::text(out))
}

fn trim(value: Val, affix: &Val, strip: for<'t> fn(&'t str, &str) -> Option<&'t str>) -> Val {
    let rest = match (&value, affix) {
        (Val::Text(text), Val::Text(affix)) => strip(&text.text, &affix.text).map(Val::text),
        _ => None,
    };
    rest.unwrap_or(value)
}
