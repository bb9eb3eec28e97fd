//! Expressions and templates as the interpreter uses them.

use std::sync::Arc;

use auterity_core::expression::{
    Budget, EvaluateErrorKind, Expression, Mode, Template, Variables, duration,
};
use serde_json::{Value, json};

fn evaluate(source: &str, input: &Value) -> Value {
    let names = ["context".to_owned()];
    let mut variables = Variables::default();
    variables.set("context", Arc::new(json!({"user": {"name": "Ada"}})));
    Expression::compile(source, &names)
        .unwrap_or_else(|mistake| panic!("{source}: {mistake}"))
        .evaluate(input, &variables, &Budget::default())
        .unwrap_or_else(|error| panic!("{source}: {error}"))
}

#[test]
fn expressions_give_values() {
    let input = json!({"a": {"b": [1, 2, 3]}, "big": 9_007_199_254_740_993_i64});
    for (source, expected) in [
        (".", input.clone()),
        (".a.b[0]", json!(1)),
        ("${ .a.b[-1] }", json!(3)),
        ("  ${.a[\"b\"][7]}", json!(null)),
        ("$context.user.name", json!("Ada")),
        (".big", json!(9_007_199_254_740_993_i64)),
        (".big + 1", json!(9_007_199_254_740_994_i64)),
        (".a.b | map(. * 2) | add", json!(12)),
        (".a.b[]", json!([1, 2, 3])),
        ("empty", json!(null)),
        ("[empty]", json!([])),
        ("null + [1]", json!([1])),
        ("{z: 1, a: 2} | keys_unsorted", json!(["z", "a"])),
        ("\"Hello, \\($context.user.name)!\"", json!("Hello, Ada!")),
    ] {
        assert_eq!(evaluate(source, &input), expected, "{source}");
    }
}

#[test]
fn mistakes_have_a_place() {
    let compile = |source: &str| Expression::compile(source, &[]).expect_err(source);
    assert_eq!(compile("${ .a + $who }").offset, 9);
    assert_eq!(compile(".a | frobnicate(1)").offset, 5);
    assert_eq!(compile("1 +").offset, 3);
    for source in [
        "env",
        "$ENV",
        "input",
        "inputs",
        "halt",
        "debug",
        "stderr",
        "import \"a\" as a; 1",
    ] {
        compile(source);
    }
}

#[test]
fn templates_keep_types_and_order() {
    let template = json!({"z": "${ .n }", "a": ["x", "${ .list }"], "plain": "$ {x}"});
    let template = Template::compile(&template, &[], Mode::Strict).expect("valid");
    let input = json!({"n": 1, "list": [true]});
    let value = template
        .evaluate(&input, &Variables::default(), &Budget::default())
        .expect("evaluates");
    assert_eq!(
        value.to_string(),
        r#"{"z":1,"a":["x",[true]],"plain":"$ {x}"}"#
    );
}

#[test]
fn failures_do_not_show_values() {
    let input = json!({"a": "s3cret"});
    for source in [".a.b", ".a | .b", ".a - 1"] {
        let error = Expression::compile(source, &[])
            .expect("valid")
            .evaluate(&input, &Variables::default(), &Budget::default())
            .expect_err(source);
        assert_eq!(error.kind(), EvaluateErrorKind::Failed);
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn durations_are_read() {
    for text in ["P1DT2H", "PT0.5S", "P2W", "PT1.5H", "P1Y2M"] {
        duration::parse(text).expect(text);
    }
    for text in ["", "P", "PT", "1h", "P1S", "PT1D", "-P1D", "P1.5Y", "PT1.S"] {
        duration::parse(text).expect_err(text);
    }
}
