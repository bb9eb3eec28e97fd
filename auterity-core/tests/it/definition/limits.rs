//! Hostile and odd texts: refused within their limits, or read as they are meant.

use std::fmt::Write;

use auterity_core::definition::{CompileOptions, Limits, Mistake, compile, parse};
use serde_json::{Value, json};

use super::places::check_places;

const HEADER: &str = "document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }\n";

/// Gives the first mistake's code.
fn code(text: &str, limits: &Limits) -> &'static str {
    let options = CompileOptions {
        limits: limits.clone(),
        ..CompileOptions::default()
    };
    let mistakes: Vec<Mistake> = compile(text, &options).expect_err("a definition with mistakes");
    check_places(text, None, &mistakes);
    assert!(
        mistakes.len() <= limits.mistakes_max,
        "no more mistakes than asked for"
    );
    mistakes[0].code
}

fn set(data: &str) -> String {
    format!("{HEADER}do:\n  - a:\n      set:\n        x: {data}\n")
}

/// Gives what a set task sets.
fn read(data: &str) -> Value {
    let definition = parse(&set(data), &Limits::default()).expect("a good definition");
    definition
        .to_value()
        .pointer("/do/0/a/set/x")
        .cloned()
        .expect("the value")
}

fn lines(count: usize, line: fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_limit_is_named_and_held() {
    let limits = Limits::default();
    let many =
        |count: usize, line: fn(usize) -> String| format!("{HEADER}do:\n{}\n", lines(count, line));
    let small = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    let tasks = many(20, |index| format!("  - t{index}: {{ wait: PT1S }}"));
    assert_eq!(
        code(&"x".repeat(10 * 1024 * 1024), &limits),
        "text_too_long"
    );
    assert_eq!(
        code(&tasks, &small(|limits| limits.tasks_max = 19)),
        "too_many_tasks"
    );
    assert_eq!(
        code(&tasks, &small(|limits| limits.nodes_max = 50)),
        "too_many_values"
    );
    let nested = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    assert_eq!(code(&set(&nested), &limits), "nested_too_deeply");
    let long = format!("${{ .a + \"{}\" }}", "x".repeat(16 * 1024));
    assert_eq!(
        code(&set(&format!("'{long}'")), &limits),
        "expression_too_long"
    );
    let expression = set("'${ .aaaa + .bbbb }'");
    let both = small(|limits| limits.expressions_bytes_max = 10);
    assert_eq!(code(&expression, &both), "expressions_too_long");
    let key = format!("{{ ? {} : 1 }}", "k".repeat(2_000));
    assert_eq!(code(&set(&key), &limits), "key_too_long");
    assert_eq!(
        code(
            &many(50, |index| format!(
                "  - t{index}: {{ wait: PT1S, then: no }}"
            )),
            &small(|limits| limits.mistakes_max = 10)
        ),
        "unknown_jump_target"
    );
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let members = vec![before; 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{members}]").expect("a string takes all");
    }
    assert_eq!(code(&text, &Limits::default()), "too_many_values");
    let mut deep = String::from("a0: &a0 [x]\n");
    for level in 1..80 {
        let before = level - 1;
        writeln!(deep, "a{level}: &a{level} [*a{before}]").expect("a string takes all");
    }
    assert_eq!(code(&deep, &Limits::default()), "nested_too_deeply");
}

#[test]
fn hostile_texts_end_soon() {
    let limits = Limits::default();
    let size = 1_000_000;
    let texts = [
        "[".repeat(size),
        "{".repeat(size),
        "- ".repeat(size / 2),
        "? ".repeat(size / 2),
        "a: ".repeat(size / 3),
        "&a ".repeat(size / 3),
        "!t ".repeat(size / 3),
        "\"".repeat(size),
        "'".repeat(size),
        "\\".repeat(size),
        "|\n".repeat(size / 2),
        "%".repeat(size),
        "#".repeat(size),
        "---\n".repeat(size / 4),
        "a\n".repeat(size / 2),
        "\t".repeat(size),
        "x".repeat(size),
        lines(100_000, |key| format!("{key}: {key}")),
        lines(50_000, |key| format!("{}: 1", key % 25_000)),
        format!("{HEADER}do: [{}]", "{},".repeat(200_000)),
    ];
    for text in texts {
        code(&text, &limits);
    }
}

#[test]
fn yaml_is_read_by_its_core_schema() {
    let table = [
        ("yes", json!("yes")),
        ("'1'", json!("1")),
        ("0o17", json!(15)),
        ("9007199254740993", json!(9_007_199_254_740_993_u64)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.5e3", json!(1500.0)),
        ("~", json!(null)),
        ("", json!(null)),
        ("!!str 5", json!("5")),
        ("! 5", json!("5")),
        ("!!float 5", json!(5)),
        (
            "{ 1: a, true: b, null: c }",
            json!({ "1": "a", "true": "b", "null": "c" }),
        ),
        (
            "|-\n          a\n            b\n\n          c",
            json!("a\n  b\n\nc"),
        ),
        (">-\n          a\n          b", json!("a b")),
        ("a\n          b # comment", json!("a b")),
        ("\"\\u00e4\\x41\\U0001F600\\/\"", json!("äA😀/")),
        ("{ a: &x [1], b: *x }", json!({ "a": [1], "b": [1] })),
        ("2026-01-31", json!("2026-01-31")),
    ];
    for (data, expected) in table {
        assert_eq!(read(data), expected, "{data}");
    }
}

#[test]
fn json_is_read_in_every_layout() {
    let value = json!({
        "document": { "dsl": "1.0.3", "namespace": "n", "name": "n", "version": "1.0.0", "title": "ä😀\u{7f}\"/\\\n" },
        "do": [{ "a": { "set": { "x": [1, -2.5, 1e300, true, null, {}, [], "a: b # c"] } } }],
    });
    let compact = value.to_string();
    let mut escaped = String::new();
    for unit in compact.encode_utf16() {
        match char::from_u32(u32::from(unit)).filter(char::is_ascii) {
            Some(character) => escaped.push(character),
            None => write!(escaped, "\\u{unit:04x}").expect("a string takes all"),
        }
    }
    let pretty = format!("{value:#}");
    let tabs = pretty.replace("  ", "\t");
    let windows = pretty.replace('\n', "\r\n");
    let marked = format!("\u{feff}{compact}");
    for text in [&compact, &escaped, &pretty, &tabs, &windows, &marked] {
        let definition = parse(text, &Limits::default()).unwrap_or_else(|mistakes| {
            panic!("{mistakes:?} in {text}");
        });
        assert_eq!(definition.to_value(), value, "{text}");
    }
}

#[test]
fn places_count_characters_whatever_the_line_ends() {
    let text = "# 日本 😀\r\ndocument: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }\r\ndo:\r\n  - ä: { set: { 😀: '😀', x: 1 }, thn: end } # ü\r\n";
    let mistakes = parse(text, &Limits::default()).expect_err("a definition with a mistake");
    let shown: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["4:33 a set task has no property \"thn\" (did you mean \"then\"?)"]
    );

    let json = r#"{ "document": { "dsl": "1.0.3", "namespace": "n", "name": "n", "version": "1.0.0", "title": "\ud83d\ude00\ud83d\ude00" }, "doo": [] }"#;
    let mistakes = parse(json, &Limits::default()).expect_err("a definition with a mistake");
    let wrong = mistakes
        .iter()
        .find(|mistake| mistake.pointer == "/doo")
        .expect("the property");
    let column = json.find("\"doo\"").expect("the key") + 1;
    assert_eq!(usize::try_from(wrong.start.column), Ok(column));
}
