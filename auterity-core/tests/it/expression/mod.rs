//! Expressions and templates as the interpreter uses them.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed test says which expression; figures are printed and not asserted"
)]

mod tables;

use std::sync::Arc;

use auterity_core::expression::{
    Budget, EvaluateErrorKind, Expression, Mode, Template, Variables, duration,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, prop_assert_eq};
use serde_json::{Value, json};

use self::tables::{AGREED, HOSTILE};

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
    assert_eq!(compile("${ .a + $who }").offset, 8);
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

/// Evaluates on a thread with the stack of a tokio worker.
fn budget_kind(source: &str, input: &Value, budget: Budget) -> Option<EvaluateErrorKind> {
    let (source, input) = (source.to_owned(), input.clone());
    let evaluate = move || {
        let expression = Expression::compile(&source, &[])
            .unwrap_or_else(|mistake| panic!("{source}: {mistake}"));
        let started = std::time::Instant::now();
        let result = expression.evaluate(&input, &Variables::default(), &budget);
        println!(
            "{:>8.1} ms  {source}",
            started.elapsed().as_secs_f64() * 1e3
        );
        match result {
            Ok(_) => None,
            Err(error) => {
                println!("             {error}");
                Some(error.kind())
            }
        }
    };
    let builder = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let thread = builder.spawn(evaluate).expect("starts");
    thread.join().expect("does not panic")
}

#[test]
fn hostile_expressions_are_refused() {
    // A tenth of the default, to be done soon; what is slow per operation gets all.
    let tenth = Budget {
        operations_max: Budget::default().operations_max / 10,
        ..Budget::default()
    };
    let whole = [
        "def f: f, f; f",
        "last(range(1e12))",
        "def f: f; f",
        "repeat(1)",
    ];
    let cases = HOSTILE.iter().map(|source| (source, tenth));
    let mut wrong = Vec::new();
    for (source, budget) in cases.chain(whole.iter().map(|source| (source, Budget::default()))) {
        match budget_kind(source, &json!({"a": [1, 2, 3]}), budget) {
            Some(EvaluateErrorKind::Budget(_)) => {}
            other => wrong.push((source, other)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn hostile_but_finite_expressions_end() {
    for (source, expected) in [
        (
            "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\" | test(\"(a+)+$\")",
            json!(false),
        ),
        ("[limit(5; repeat(1))]", json!([1, 1, 1, 1, 1])),
        ("[range(5)] | map(select(. > 2))", json!([3, 4])),
        (
            "def f(g): if . < 100 then g | f(g) else . end; 0 | f(. + 1)",
            json!(100),
        ),
        ("[range(10000)] | length", json!(10_000)),
        (
            "reduce range(10000) as $i ({}; .[$i | tostring] = $i) | length",
            json!(10_000),
        ),
        (
            "reduce range(10000) as $i ([]; . + [$i]) | length",
            json!(10_000),
        ),
        (
            "reduce range(10000) as $i (\"\"; . + \"x\") | length",
            json!(10_000),
        ),
        ("1e1000 | isinfinite", json!(true)),
        ("[1, 1e400]", json!([1, f64::MAX])),
        ("nan", json!(null)),
    ] {
        assert_eq!(evaluate(source, &json!(null)), expected, "{source}");
    }
}

#[test]
fn filters_agree_with_jaq() {
    let inputs = [
        json!(null),
        json!(true),
        json!(0),
        json!(-3),
        json!(2.5),
        json!(1_700_000_000),
        json!(""),
        json!("aXbä☃a"),
        json!("12"),
        json!("2024-02-29T12:00:00Z"),
        json!([]),
        json!([1, 2, 3]),
        json!([3, "a", null, [1], {"a": 1}, false, 2.5]),
        json!([[1, 2], [3]]),
        json!({}),
        json!({"a": {"b": [1, {"c": null}]}, "Z": "x"}),
        json!({"a": "q", "b": 2}),
        json!([{"key": "k", "value": 1}]),
        json!([{"a": 2, "b": 1}, {"a": 1}, {"a": 2}]),
    ];
    let mut differences = Vec::new();
    for source in AGREED {
        let ours = Expression::compile(&format!("[{source}]"), &[])
            .unwrap_or_else(|mistake| panic!("{source}: {mistake}"));
        let theirs = jaq(&format!("[{source}]"));
        for input in &inputs {
            let ours = ours.evaluate(input, &Variables::default(), &Budget::default());
            let theirs = theirs(input);
            let same = match (&ours, &theirs) {
                (Ok(ours), Some(theirs)) => alike(ours, theirs),
                (Err(error), None) => error.kind() == EvaluateErrorKind::Failed,
                _ => false,
            };
            if !same {
                differences.push(format!("{input} | {source}: {ours:?}, jaq: {theirs:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Gives what evaluates a filter by jaq with its own values; none where it fails.
fn jaq(source: &str) -> impl Fn(&Value) -> Option<Value> + use<> {
    use jaq_core::data::JustLut;
    use jaq_core::load::{Arena, File, Loader};
    use jaq_core::{Compiler, Ctx, Vars};
    use jaq_json::{Val, read};

    let arena = Arena::default();
    let definitions = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let file = File {
        code: source,
        path: (),
    };
    let modules = Loader::new(definitions).load(&arena, file);
    let functions = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let filter = Compiler::default()
        .with_funs(functions)
        .compile(modules.unwrap_or_else(|_| panic!("{source} is valid")))
        .unwrap_or_else(|_| panic!("{source} is valid"));
    move |input| {
        let input = read::parse_single(input.to_string().as_bytes()).expect("JSON");
        let context = Ctx::<JustLut<Val>>::new(&filter.lut, Vars::new([]));
        let output = filter.id.run((context, input)).next()?.ok()?;
        serde_json::from_str(&output.to_string()).ok()
    }
}

/// Compares with numbers by value: jaq writes 2.0 where jq writes 2.
fn alike(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| alike(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let keys = left.keys().eq(right.keys());
            keys && left.values().zip(right.values()).all(|(l, r)| alike(l, r))
        }
        _ => left == right,
    }
}

/// Where jaq differs from jq, jq counts.
#[test]
fn filters_do_as_jq() {
    for (source, input, expected) in [
        ("del(.a)", json!(null), json!(null)),
        ("del(.[0, 2])", json!([1, 2, 3]), json!([2])),
        (
            "del(.a[0, 1], .b)",
            json!({"a": [1, 2, 3], "b": 4}),
            json!({"a": [3]}),
        ),
        ("del(.[0], .[0])", json!([1, 2]), json!([2])),
        ("del(.[1:3])", json!([1, 2, 3, 4]), json!([1, 4])),
        ("del(.[] | select(. > 1))", json!([1, 2, 3]), json!([1])),
        (
            "delpaths([[\"a\", 0], [\"a\", 2]])",
            json!({"a": [1, 2, 3]}),
            json!({"a": [2]}),
        ),
        (
            "[.[] | IN(2, 3)], IN(.[]; 9)",
            json!([1, 2]),
            json!([[false, true], false]),
        ),
        (
            "INDEX(.id)",
            json!([{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]),
            json!({"1": {"id": 1, "v": "a"}, "2": {"id": 2, "v": "b"}}),
        ),
        (".a = 1", json!(null), json!({"a": 1})),
        (
            ".a.b[2] |= 5",
            json!(null),
            json!({"a": {"b": [null, null, 5]}}),
        ),
        (".[1:]", json!(null), json!(null)),
        ("ltrimstr(\"x\")", json!(1), json!(1)),
        ("sub(\"(?<y>.)\"; \"\\(.y)!\")", json!("ab"), json!("a!b")),
        (
            "to_entries",
            json!({"b": 1, "a": 2}),
            json!([{"key": "b", "value": 1}, {"key": "a", "value": 2}]),
        ),
        (
            "[.[] | {name: .k, value: .v}] | from_entries",
            json!([{"k": "x", "v": 1}]),
            json!({"x": 1}),
        ),
        (
            "join(\",\")",
            json!([1, null, "a", true]),
            json!("1,,a,true"),
        ),
        (". / 2", json!(10), json!(5)),
        ("\"\\(. / 2)\"", json!(10), json!("5")),
        (". * 2", json!(2.5), json!(5)),
        ("-7 % 3", json!(null), json!(-1)),
        ("5.9 % 3", json!(null), json!(2)),
        ("pow(2; 10)", json!(null), json!(1024)),
        (".[1.7]", json!([1, 2, 3]), json!(2)),
        ("@csv", json!(["a\"b", 1, null]), json!("\"a\"\"b\",1,")),
        ("@tsv", json!(["a\tb", 1, null]), json!("a\\tb\t1\t")),
        ("tonumber", json!(" -1.5e3"), json!(-1500.0)),
        ("index(\",\"), rindex(\",\")", json!("ä,b,c"), json!([1, 3])),
        (
            "transpose",
            json!([[1, 2], [3]]),
            json!([[1, 3], [2, null]]),
        ),
        ("[limit(3; .[])]", json!([1, 2, 3, 4]), json!([1, 2, 3])),
        ("try error catch .", json!({"code": 7}), json!({"code": 7})),
        ("try error(\"no\") catch .", json!(null), json!("no")),
        ("now | todate", json!(null), json!("1970-01-01T00:00:00Z")),
        (
            "\"10:20\" | strptime(\"%H:%M\")? // \"incomplete\"",
            json!(null),
            json!("incomplete"),
        ),
        (
            "\"2015-03-05T23:51:47Z\" | strptime(\"%Y-%m-%dT%H:%M:%SZ\") | mktime",
            json!(null),
            json!(1_425_599_507),
        ),
        ("18446744073709551615", json!(null), json!(u64::MAX)),
        (". + 1", json!(u64::MAX - 1), json!(u64::MAX)),
        (". - 1", json!(i64::MIN + 1), json!(i64::MIN)),
        (
            "[.[] | . == 9007199254740993]",
            json!([9_007_199_254_740_993_i64, 9_007_199_254_740_992_i64]),
            json!([true, false]),
        ),
        (
            "ascii_downcase, explode, (explode | implode)",
            json!("Aä"),
            json!(["aä", [65, 228], "Aä"]),
        ),
        (
            "[match(\"b(x)?\"; \"g\").captures[0].string]",
            json!("abbx"),
            json!([null, "x"]),
        ),
        ("{a: 1} * {a: {b: 2}}", json!(null), json!({"a": {"b": 2}})),
        ("\"ab\" * 2, \"ab\" * 0", json!(null), json!(["abab", null])),
    ] {
        assert_eq!(evaluate(source, &input), expected, "{source}");
    }
}

/// JSON with few names, so that paths often hit.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<f32>().prop_map(|float| Value::from(f64::from(float))),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop_oneof!["[abc]", any::<String>()];
        prop_oneof![
            collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            collection::vec((key, inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "\\.[abc]",
        "\\.\"[abcä]\"",
        "\\[\"[abc]\"\\]",
        (-3_i32..4).prop_map(|index| format!("[{index}]")),
    ];
    let root = prop_oneof![Just(String::new()), Just("$v".to_owned())];
    (root, collection::vec(part, 0..4)).prop_map(|(root, parts)| {
        let path = parts.concat();
        match (root.as_str(), path.starts_with('.')) {
            ("", false) => format!(".{path}"),
            _ => format!("{root}{path}"),
        }
    })
}

proptest! {
    #[test]
    fn paths_agree_with_jq(path in any_path(), input in any_json(), variable in any_json()) {
        let names = ["v".to_owned()];
        let mut variables = Variables::default();
        variables.set("v", Arc::new(variable));
        let evaluate = |source: &str| {
            let expression = Expression::compile(source, &names).expect("valid");
            let result = expression.evaluate(&input, &variables, &Budget::default());
            result
                .map(|value| value.to_string())
                .map_err(|error| error.message().split(" in ${").next().map(str::to_owned))
        };
        // Piped, it is no longer a plain path.
        prop_assert_eq!(evaluate(&path), evaluate(&format!("{path} | .")));
    }

    #[test]
    fn values_survive_jq(input in any_json()) {
        let expression = Expression::compile("(.) | .", &[]).expect("valid");
        let output = expression.evaluate(&input, &Variables::default(), &Budget::default());
        prop_assert_eq!(output.expect("evaluates").to_string(), input.to_string());
    }

    #[test]
    fn no_source_makes_it_panic(source in "[.a$x|,()\\[\\]{}\"0-9 +*/?:;defifthenelsendreducasrangpt@-]{0,40}") {
        if let Ok(expression) = Expression::compile(&source, &["x".to_owned()]) {
            let budget = Budget { operations_max: 20_000, ..Budget::default() };
            let result = expression.evaluate(&json!({"a": [1, "x"]}), &Variables::default(), &budget);
            if let Err(error) = result {
                assert!(!error.message().contains("a fault of"), "{source}");
            }
        }
    }
}

#[test]
fn deep_or_long_sources_are_refused() {
    let compile = |source: &str| Expression::compile(source, &[]).expect_err("is refused");
    for part in [
        "(",
        "[",
        "{a:",
        "\"\\(",
        "-",
        "try ",
        "1|",
        "1+",
        "def f: ",
        ".[",
        "if 1 then ",
        "1 as $x|",
        "label $x|",
    ] {
        compile(&part.repeat(100_000 / part.len()));
        compile(&part.repeat(16_000 / part.len()));
        compile(&(part.repeat(2_000) + "1"));
    }
    compile(&format!("[{}]", vec!["1"; 3_000].join(",")));
    let long = format!("[{}] | length", vec!["1"; 1_500].join(","));
    assert_eq!(evaluate(&long, &json!(null)), json!(1_500));
}

#[test]
fn deep_terms_fit_the_stack() {
    let depths = [
        ("-", "1", ""),
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("1|", "1", ""),
        ("1+", "1", ""),
        ("try ", "1", ""),
        ("1 as $x|", "1", ""),
        (".[", "0", "]?"),
        ("if . then ", "1", " else . end"),
        ("def f: ", "1", "; f"),
        ("def f: [try (", "1", ")]; -f"),
        ("[-(", "1", ")]"),
        ("{a: (1 | ", "1", ")}"),
    ];
    for (before, middle, after) in depths {
        let deepest = (1..200).rev().find_map(|times| {
            let source = before.repeat(times) + middle + &after.repeat(times);
            let expression = Expression::compile(&source, &[]).ok()?;
            Some((
                times,
                expression.evaluate(&json!([0]), &Variables::default(), &Budget::default()),
            ))
        });
        let (times, _) = deepest.expect("some depth is allowed");
        println!("{before:>12} {times} deep");
        assert!(9 <= times, "{before}");
    }
}

#[test]
fn deep_values_are_refused() {
    let mut deep = json!(1);
    for _ in 0..1_000 {
        deep = json!([deep]);
    }
    for source in [".", ". | .", "[.]", "length", ".[0]"] {
        let expression = Expression::compile(source, &[]).expect("valid");
        let error = expression.evaluate(&deep, &Variables::default(), &Budget::default());
        let kind = error.expect_err(source).kind();
        assert!(matches!(kind, EvaluateErrorKind::Budget(_)), "{source}");
    }
}

#[test]
fn loose_templates_fall_back_to_text() {
    let names = ["context".to_owned()];
    let template = json!([
        "hello",
        ".n",
        "2024-01-01",
        "$context.x",
        ".n + \"a\"",
        "a.b",
        "${ .n }",
        "true",
        "1"
    ]);
    let template = Template::compile(&template, &names, Mode::Loose).expect("valid");
    let value = template.evaluate(&json!({"n": 1}), &Variables::default(), &Budget::default());
    let expected = json!([
        "hello",
        1,
        "2024-01-01",
        null,
        ".n + \"a\"",
        "a.b",
        1,
        "true",
        "1"
    ]);
    assert_eq!(value.expect("evaluates"), expected);
}

#[test]
fn templates_give_all_mistakes_with_pointers() {
    let template = json!({"a/b": ["${ . }", "${ $no }"], "c": "${ 1 + }"});
    let mistakes = Template::compile(&template, &[], Mode::Strict).expect_err("is refused");
    let pointers: Vec<&str> = mistakes
        .iter()
        .map(|(pointer, _)| pointer.as_str())
        .collect();
    assert_eq!(pointers, ["/a~1b/1", "/c"]);
}

#[test]
fn a_template_shares_one_budget() {
    let template = json!(vec!["${ [range(20000)] | length }"; 50]);
    let template = Template::compile(&template, &[], Mode::Strict).expect("valid");
    let result = template.evaluate(&json!(null), &Variables::default(), &Budget::default());
    let kind = result.expect_err("is refused").kind();
    assert!(matches!(kind, EvaluateErrorKind::Budget(_)), "{kind:?}");
}

#[test]
fn errors_show_only_what_the_source_says() {
    let input = json!({"s": "s3cret", "n": 424_242, "l": ["s3cret"]});
    for (source, shown) in [
        ("error(\"no amount\")", "no amount"),
        ("error(\"bad \\(.s)\")", "raised an error with a string"),
        ("error(.s)", "raised an error with a string"),
        ("error({code: .s})", "raised an error with a object"),
        (".s[.n]", "cannot index string with number"),
        (".s | tonumber", "cannot parse the string as a number"),
        (".s | fromjson", "cannot parse the string as JSON"),
        (".s | test(\"(\")", "not a regular expression"),
        (
            ".s as $x | \"a\" | test($x + \"(\")",
            "not a regular expression",
        ),
        (".s | fromdate", "RFC 3339"),
        (".s | @base64d", "base64"),
        (".n | implode", "cannot use number as array"),
        ("[.n * 100] | implode", "no character's code"),
        (".s - 1", "cannot calculate string - number"),
        ("{(.n): 1}", "object key"),
        (
            "try (.s | .[0]) catch error",
            "cannot index string with number",
        ),
        (".l | join(.n)", "cannot index array with \"n\""),
        ("[.l, .l] | join(\",\")", "cannot join"),
        (".s | test(\"a\"; \"q\")", "flags"),
        (".s | strptime(\"%Y\")", "cannot parse the string as a date"),
        (
            ".s | ascii_downcase | error",
            "raised an error with a string",
        ),
        (
            ".s | ltrimstr(\"s\") | error",
            "raised an error with a string",
        ),
        (".s[1:] | error", "raised an error with a string"),
        ("keys[0] | error", "raised an error with a string"),
        ("(.s | tojson) | error", "raised an error with a string"),
        ("\"\\(.n)\" | error", "raised an error with a string"),
    ] {
        let expression =
            Expression::compile(source, &[]).unwrap_or_else(|m| panic!("{source}: {m}"));
        let result = expression.evaluate(&input, &Variables::default(), &Budget::default());
        let message = result.expect_err(source).to_string();
        assert!(message.contains(shown), "{source}: {message}");
        assert!(
            !message.contains("3cret") && !message.contains("4242"),
            "{source}: {message}"
        );
    }
}

#[test]
fn duration_objects_are_read() {
    let span = duration::from_value(&json!({"days": 1, "milliseconds": 1500})).expect("valid");
    assert_eq!(span.to_string(), "P1DT1.5S");
    assert_eq!(
        duration::parse("P1.5D").expect("valid").to_string(),
        "P1DT43200S"
    );
    for value in [
        json!({}),
        json!({"years": 1}),
        json!({"days": -1}),
        json!({"days": 0.5}),
        json!(5),
        json!("x"),
    ] {
        duration::from_value(&value).expect_err("is refused");
    }
}

/// Prints what things cost, for reports.
#[test]
fn costs_are_printed() {
    let items: Vec<Value> = (0..1_000)
        .map(|id| json!({"id": id, "name": format!("item {id}"), "tags": ["a", "b"]}))
        .collect();
    let large = json!({"a": {"b": [1, 2, 3]}, "items": items});
    let small = json!({"a": {"b": [1, 2, 3]}, "n": 5});
    let names = ["context".to_owned()];
    let mut variables = Variables::default();
    variables.set("context", Arc::new(json!({"user": {"name": "Ada"}})));
    for (source, input) in [
        (".a.b[0]", &large),
        ("$context.user.name", &large),
        (".a.b", &small),
        (".n + 1", &small),
        (".n > 3 and .a.b[0] == 1", &small),
        ("{name: $context.user.name, total: (.a.b | add)}", &small),
        (".n + 1", &large),
        (".items | map(select(.id < 10)) | length", &large),
        ("\"Hello, \\($context.user.name)\"", &small),
    ] {
        let started = std::time::Instant::now();
        let expression = Expression::compile(source, &names).expect("valid");
        let compiled = started.elapsed();
        let rounds = 20;
        let started = std::time::Instant::now();
        for _ in 0..rounds {
            expression
                .evaluate(input, &variables, &Budget::default())
                .expect("evaluates");
        }
        let evaluated = started.elapsed() / rounds;
        println!("compile {compiled:>10.1?} evaluate {evaluated:>10.1?}  {source}");
    }
}
