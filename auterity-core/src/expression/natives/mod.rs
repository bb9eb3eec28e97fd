//! Filters that are written in Rust.
//!
//! From jaq come those that are bounded by the size of their input. What loops,
//! sorts, matches or tells the time is here, metered.

mod lists;
mod regex;
mod texts;
mod time;

use jaq_core::box_iter::box_once;
use jaq_core::data::JustLut;
use jaq_core::native::{self, Filter, Fun};
use jaq_core::{Cv, Error, Exn, Native, RunPtr, ValT, ValXs};

use super::guard;
use super::meter;
use super::value::{Val, ValR};

pub(super) use self::regex::forget;

/// What jaq is instantiated with: our values and no data beside the program.
pub(super) type Data = JustLut<Val>;
type Run = Filter<RunPtr<Data>>;

/// The natives of jaq's standard library that are taken as they are.
const TAKEN: [&str; 70] = [
    "acos",
    "acosh",
    "ascii_downcase",
    "ascii_upcase",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "decode_uri",
    "encode_base64",
    "encode_uri",
    "endswith",
    "erf",
    "erfc",
    "escape_html",
    "escape_sh",
    "exp",
    "exp10",
    "exp2",
    "explode",
    "expm1",
    "fabs",
    "fdim",
    "floor",
    "fma",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "hypot",
    "ilogb",
    "j0",
    "j1",
    "ldexp",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "ltrim",
    "max_by_or_empty",
    "min_by_or_empty",
    "modf",
    "nearbyint",
    "nextafter",
    "pow",
    "remainder",
    "reverse",
    "rint",
    "round",
    "rtrim",
    "scalbln",
    "sin",
    "sinh",
    "sqrt",
    "startswith",
    "tan",
    "tanh",
    "tgamma",
    "trim",
    "trunc",
    "unescape_html",
    "utf8bytelength",
    "y0",
];

/// Gives every native filter.
pub(super) fn all() -> impl Iterator<Item = Fun<Data>> {
    let taken = jaq_std::funs::<Data>().filter(|(name, _, _)| TAKEN.contains(name));
    let guards = [
        (
            guard::CALL,
            native::v(0),
            Native::new(|cv| pass(meter::call(), cv.1))
                .with_paths(|cv| pass(meter::call(), cv.1))
                .with_update(|cv, update| if meter::call() { update(cv.1) } else { halt() }),
        ),
        (
            guard::CALL_WITH_CLOSURE,
            native::v(0),
            Native::new(|cv| pass(meter::call_with_closure(), cv.1))
                .with_paths(|cv| pass(meter::call_with_closure(), cv.1))
                .with_update(|cv, update| {
                    if meter::call_with_closure() {
                        update(cv.1)
                    } else {
                        halt()
                    }
                }),
        ),
    ];
    let ours = [
        types(),
        lists::natives(),
        texts::natives(),
        regex::natives(),
        time::natives(),
    ];
    jaq_core::funs().chain(taken).chain(guards).chain(
        ours.into_iter()
            .flatten()
            .map(|run| native::run::<Data>(run)),
    )
}

/// Gives a filter with one result that depends on the input only.
fn simple(name: &'static str, run: RunPtr<Data>) -> Run {
    (name, native::v(0), run)
}

/// Gives the one result of a native filter.
fn one<'a>(result: ValR) -> ValXs<'a, Val> {
    box_once(result.map_err(Exn::from))
}

/// Pops one argument and gives the one result.
fn with_argument(mut cv: Cv<'_, Data>, run: impl FnOnce(Val, Val) -> ValR) -> ValXs<'_, Val> {
    let argument = cv.0.pop_var();
    one(run(cv.1, argument))
}

fn pass<'a, T: 'a>(goes_on: bool, value: T) -> ValXs<'a, T, Val> {
    if goes_on { box_once(Ok(value)) } else { halt() }
}

fn halt<'a, T: 'a>() -> ValXs<'a, T, Val> {
    box_once(Err(Exn::halt(0)))
}

fn types() -> Vec<Run> {
    vec![
        simple("null", |_| one(Ok(Val::Null))),
        simple("true", |_| one(Ok(Val::from(true)))),
        simple("false", |_| one(Ok(Val::from(false)))),
        simple("not", |cv| one(Ok(Val::from(!cv.1.as_bool())))),
        simple("type", |cv| one(Ok(Val::from(cv.1.type_name().to_owned())))),
        simple("isboolean", |cv| {
            one(Ok(Val::from(matches!(cv.1, Val::Bool(_)))))
        }),
        simple("isnumber", |cv| {
            one(Ok(Val::from(matches!(cv.1, Val::Number(_)))))
        }),
        simple("isstring", |cv| {
            one(Ok(Val::from(matches!(cv.1, Val::Text(_)))))
        }),
        simple("isarray", |cv| {
            one(Ok(Val::from(matches!(cv.1, Val::List(_)))))
        }),
        simple("isobject", |cv| {
            one(Ok(Val::from(matches!(cv.1, Val::Object(_)))))
        }),
        simple("nan", |_| one(Ok(Val::from(f64::NAN)))),
        simple("infinite", |_| one(Ok(Val::from(f64::INFINITY)))),
        simple("length", |cv| {
            one(match &cv.1 {
                Val::Null => Ok(Val::from(0_usize)),
                Val::Bool(_) => Err(Error::str("boolean has no length")),
                Val::Number(number) if number.as_float() < 0.0 => -cv.1,
                Val::Number(_) => Ok(cv.1),
                Val::Text(text) => {
                    meter::handle(text.text.len());
                    Ok(Val::from(text.text.chars().count()))
                }
                Val::List(list) => Ok(Val::from(list.items().len())),
                Val::Object(object) => Ok(Val::from(object.entries().len())),
            })
        }),
    ]
}
