//! The small parts that definitions are made of.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use serde_json::{Map, Value};

use super::{Properties, Values, resource};

pub(super) fn data(key: &'static str) -> Values {
    let format = words(&["json", "json:2020-12"]);
    let schema = prop_oneof![
        record(vec![("document", json())], vec![("format", format.clone())]),
        record(vec![("resource", resource())], vec![("format", format)]),
    ];
    record(
        vec![],
        vec![("schema", schema.boxed()), (key, or(object(), text()))],
    )
}

pub(super) fn timeout() -> Values {
    one("after", duration())
}

pub(super) fn duration() -> Values {
    let amount = || (0..100_000_i64).prop_map(Value::from).boxed();
    let units = record(
        vec![("seconds", amount())],
        vec![
            ("days", amount()),
            ("hours", amount()),
            ("minutes", amount()),
            ("milliseconds", amount()),
        ],
    );
    prop_oneof![
        units,
        words(&["PT1S", "P1Y2M3W4DT5H6M7.5S", "P2W"]),
        expression()
    ]
    .boxed()
}

pub(super) fn uri() -> Values {
    words(&[
        "https://example.com/{id}{?page,size*}",
        "urn+x://a",
        "${ .uri }",
    ])
}

pub(super) fn expression() -> Values {
    words(&[
        "${ .a }",
        " ${ $context.b | length } ",
        "${ \"it's {\" + .x }",
    ])
}

pub(super) fn name() -> Values {
    words(&["a", "order-1", "X9"])
}

pub(super) fn boolean() -> Values {
    any::<bool>().prop_map(Value::from).boxed()
}

pub(super) fn integer() -> Values {
    prop_oneof![0..1000_i64, any::<i64>()]
        .prop_map(Value::from)
        .boxed()
}

/// Makes texts that YAML might take for something else, and texts of any characters.
pub(super) fn text() -> Values {
    any_text().prop_map(Value::from).boxed()
}

pub(super) fn filled_text() -> Values {
    any_text()
        .prop_map(|text| Value::from(format!("x{text}")))
        .boxed()
}

pub(super) fn any_text() -> BoxedStrategy<String> {
    let odd = vec![
        "", " ", "~", "null", "true", "no", "1", "-1.5", "0x1f", "1e3", ".inf", "- a", "? a",
        ": a", "a: b", "a #b", "#a", "'", "\"", "\\", "|", ">", "&a", "*a", "!t", "%d", "@x",
        "`x`", "{a}", "[a]", "a,b", "---", "...", "<<", "=", "\n", "a\nb\n", " a\n  b", "\t",
        "\r\n", "\u{85}", "\u{2028}", "\u{feff}", "\u{0}", "\u{7f}", "ä", "日本", "😀", "${ .a }",
        "a ", " a", "a:",
    ];
    prop_oneof![
        2 => select(odd).prop_map(str::to_owned),
        2 => "[a-zA-Z]{1,8}",
        1 => vec(any::<char>(), 0..10).prop_map(|chars| chars.into_iter().collect::<String>()),
    ]
    .boxed()
}

/// Makes any JSON value.
pub(super) fn json() -> Values {
    let leaf = prop_oneof![
        Just(Value::Null),
        boolean(),
        integer(),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300_f64).prop_map(Value::from),
        (-2.0..2.0_f64).prop_map(Value::from),
        text(),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(any_text(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
    .boxed()
}

pub(super) fn object() -> Values {
    let long = btree_map(vec(Just('k'), 600..700), json(), 0..2)
        .prop_map(|members| {
            members
                .into_iter()
                .map(|(key, v)| (key.into_iter().collect(), v))
        })
        .prop_map(|members| Value::Object(members.collect()));
    let short = btree_map(any_text(), json(), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()));
    prop_oneof![9 => short, 1 => long].boxed()
}

pub(super) fn filled() -> Values {
    btree_map(any_text(), json(), 1..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
        .boxed()
}

pub(super) fn texts() -> Values {
    btree_map(any_text(), text(), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
        .boxed()
}

pub(super) fn named(value: Values) -> Values {
    btree_map(any_text(), value, 0..2)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
        .boxed()
}

/// Makes lists whose members are objects of one name each.
pub(super) fn items(value: Values) -> Values {
    vec((any_text(), value), 0..3)
        .prop_map(|members| {
            members
                .into_iter()
                .map(|(name, value)| single(name, value))
                .collect()
        })
        .prop_map(Value::Array)
        .boxed()
}

pub(super) fn list(value: Values) -> Values {
    vec(value, 0..3).prop_map(Value::Array).boxed()
}

pub(super) fn words(words: &'static [&'static str]) -> Values {
    select(words).prop_map(Value::from).boxed()
}

pub(super) fn words_of(key: &'static str, known: &'static [&'static str]) -> Values {
    one(key, words(known))
}

pub(super) fn one(key: &'static str, value: Values) -> Values {
    value
        .prop_map(move |value| single(key.to_owned(), value))
        .boxed()
}

pub(super) fn or(left: Values, right: Values) -> Values {
    prop_oneof![left, right].boxed()
}

/// Makes objects with all of the required properties and some of the optional ones.
pub(super) fn record(required: Properties, optional: Properties) -> Values {
    let required = required
        .into_iter()
        .map(|(key, value)| (key, value.prop_map(Some).boxed()));
    let optional = optional
        .into_iter()
        .map(|(key, value)| (key, option::weighted(0.3, value).boxed()));
    let (keys, values): (Vec<_>, Vec<_>) = required.chain(optional).unzip();
    values
        .prop_map(move |values| {
            let members = keys.iter().zip(values);
            let members = members.filter_map(|(key, value)| Some(((*key).to_owned(), value?)));
            Value::Object(members.collect())
        })
        .boxed()
}

pub(super) fn single(key: String, value: Value) -> Value {
    let mut object = Map::new();
    object.insert(key, value);
    Value::Object(object)
}

pub(super) fn merged(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Object(mut left), Value::Object(right)) => {
            left.extend(right);
            Value::Object(left)
        }
        (left, _) => left,
    }
}
