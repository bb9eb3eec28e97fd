//! What is wrong is refused, with every mistake at its place.

use auterity_core::definition::{CompileOptions, Limits, Mistake, compile};
use expect_test::{Expect, expect};

const HEADER: &str = "document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }\ndo:\n";

/// Compiles a text that must be refused, and compares what is reported.
fn refused(text: &str, expected: &Expect) {
    let is_registered = |name: &str| name == "sendMail";
    let options = CompileOptions {
        limits: Limits::default(),
        functions: Some(&is_registered),
    };
    let mistakes = compile(text, &options).expect_err("a definition with mistakes");
    let lines: Vec<String> = mistakes.iter().map(shown).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// Compiles tasks, which start on line 3.
fn refused_tasks(tasks: &str, expected: &Expect) {
    refused(&format!("{HEADER}{tasks}"), expected);
}

fn shown(mistake: &Mistake) -> String {
    let Mistake {
        code,
        pointer,
        message,
        hint,
        start,
        end,
    } = mistake;
    let hint = hint.as_deref().unwrap_or("-");
    format!("{start} to {end} {code} at \"{pointer}\"\n    {message}\n    {hint}")
}

#[test]
fn texts_that_are_no_yaml() {
    refused(
        "",
        &expect![[r#"
        1:1 to 1:1 empty_document at ""
            the text is empty
            a definition starts with `document:`"#]],
    );
    refused(
        "# nothing but a comment\n",
        &expect![[r#"
        1:1 to 1:2 empty_document at ""
            the text is empty
            a definition starts with `document:`"#]],
    );
    refused(
        "document: [1, 2\n",
        &expect![[r#"
        1:15 to 1:16 syntax at "/document/2"
            not valid YAML or JSON: while parsing a flow sequence, expected ',' or ']'
            check indentation, quotes and brackets"#]],
    );
    refused(
        r#"document: {
  dsl: "1.0.3
"#,
        &expect![[r#"
            2:8 to 2:9 syntax at "/document/dsl"
                not valid YAML or JSON: while scanning a quoted scalar, found unexpected end of stream
                check indentation, quotes and brackets"#]],
    );
    refused(
        "a: b: c\n",
        &expect![[r#"
        1:5 to 1:6 syntax at ""
            not valid YAML or JSON: mapping values are not allowed in this context
            put a text that has a colon in quotes, and check the indentation"#]],
    );
    refused(
        concat!("a:\n", "\t- b\n",),
        &expect![[r#"
        2:2 to 2:3 syntax at "/a"
            not valid YAML or JSON: tabs disallowed within this context (block indentation)
            check indentation, quotes and brackets"#]],
    );
    refused(
        "{\"document\": {\"dsl\": \"1.0.3\",}\n",
        &expect![[r#"
        1:30 to 1:31 syntax at ""
            not valid YAML or JSON: while parsing a flow mapping, did not find expected ',' or '}'
            check indentation, quotes and brackets"#]],
    );
    refused(
        "{\"document\": \"\\ud83d\"}",
        &expect![[r#"
        1:14 to 1:15 syntax at ""
            not valid YAML or JSON: while parsing a quoted scalar, found invalid Unicode character escape code
            check indentation, quotes and brackets"#]],
    );
    refused(
        "document: \"\u{1}\"\n",
        &expect![[r#"
        1:12 to 1:13 bad_character at ""
            the control character U+0001 is not possible in a text
            write it as an escape in a quoted text, such as "\u0001""#]],
    );
    refused(
        "document: *missing\n",
        &expect![[r#"
        1:11 to 1:12 syntax at "/document"
            not valid YAML or JSON: while parsing node, found unknown anchor
            check indentation, quotes and brackets"#]],
    );
    refused(
        r#"a: 1
---
b: 2
"#,
        &expect![[r#"
            2:1 to 2:4 several_documents at ""
                a second document starts here
                put each definition in its own file"#]],
    );
    refused(
        r#"? [a, b]
: c
"#,
        &expect![[r#"
            1:3 to 1:4 bad_key at ""
                a key must be a text
                if it is a text, put it in quotes"#]],
    );
    refused(
        r#"- a
- b
"#,
        &expect![[r#"
            1:1 to 2:4 wrong_type at ""
                expected an object (a definition), found a list
                write names and values without dashes: `name: value`"#]],
    );
    refused(
        "just words\n",
        &expect![[r#"
            1:1 to 1:11 wrong_type at ""
                expected an object (a definition), found a text
                write it as `name: value`, or { name: value }"#]],
    );
    refused(
        "42\n",
        &expect![[r#"
            1:1 to 1:3 wrong_type at ""
                expected an object (a definition), found a whole number
                write it as `name: value`, or { name: value }"#]],
    );
}

#[test]
fn values_that_yaml_has_and_definitions_do_not() {
    refused_tasks(
        "  - a: { set: { x: !secret y } }\n",
        &expect![[r#"
        3:20 to 3:29 unknown_tag at "/do/0/a/set/x"
            the tag !secret has no meaning in a definition
            remove the tag"#]],
    );
    refused_tasks(
        "  - a: { set: { x: !!int y } }\n",
        &expect![[r#"
        3:20 to 3:27 bad_tag at "/do/0/a/set/x"
            the value does not fit its tag !!int
            remove the tag, or change the value"#]],
    );
    refused_tasks(
        "  - a: { set: { x: !!binary aGk= } }\n",
        &expect![[r#"
        3:20 to 3:33 unknown_tag at "/do/0/a/set/x"
            the tag !!binary has no meaning in a definition
            remove the tag"#]],
    );
    refused_tasks(
        "  - a: { set: { x: .inf, y: -.INF, z: .nan } }\n",
        &expect![[r#"
            3:20 to 3:24 number_not_finite at "/do/0/a/set/x"
                .inf is no number that JSON can hold
                write a finite number, or put the text in quotes
            3:29 to 3:34 number_not_finite at "/do/0/a/set/y"
                -.INF is no number that JSON can hold
                write a finite number, or put the text in quotes
            3:39 to 3:43 number_not_finite at "/do/0/a/set/z"
                .nan is no number that JSON can hold
                write a finite number, or put the text in quotes"#]],
    );
    refused_tasks(
        "  - a: { set: { x: 18446744073709551616, y: 1e400 } }\n",
        &expect![[r#"
            3:20 to 3:40 number_too_large at "/do/0/a/set/x"
                the number 18446744073709551616 is too large to be kept exactly
                put it in quotes to keep it as a text
            3:45 to 3:50 number_too_large at "/do/0/a/set/y"
                the number 1e400 is too large to be kept exactly
                put it in quotes to keep it as a text"#]],
    );
    refused_tasks(
        "  - a: { set: { x: 1, x: 2 } }\n",
        &expect![[r#"
        3:23 to 3:24 duplicate_key at "/do/0/a/set/x"
            the key "x" is there twice; the first one is on line 3
            remove or rename one of them"#]],
    );
    refused_tasks(
        "  - a: &a { set: { x: *a } }\n",
        &expect![[r#"
        3:23 to 3:25 recursive_alias at "/do/0/a/set/x"
            the alias stands inside of what it stands for
            write the value out"#]],
    );
    refused_tasks(
        r#"  - a: &a { set: { x: 1 } }
  - b: { <<: *a, then: end }
"#,
        &expect![[r#"
            4:5 to 4:6 missing_task_kind at "/do/1/b"
                the task does not say what it does
                add one of call, emit, for, fork, listen, raise, run, set, switch, try, wait, do
            4:10 to 4:12 merge_key at "/do/1/b"
                merge keys (<<) are no part of YAML 1.2
                write the properties out, or use an alias for the whole value"#]],
    );
    refused_tasks(
        "  - a: !task { set: { x: 1 } }\n",
        &expect![[r#"
        3:8 to 3:16 unknown_tag at "/do/0/a"
            the tag !task has no meaning in a definition
            remove the tag"#]],
    );
}

#[test]
fn documents_with_wrong_headers() {
    refused(
        "do: []\n",
        &expect![[r#"
        1:1 to 1:3 missing_property at ""
            a definition needs "document"
            add `document:`
        1:5 to 1:7 empty_list at "/do"
            the list has no task
            add at least one member"#]],
    );
    refused(
        "document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }\n",
        &expect![[r#"
            1:1 to 1:9 missing_property at ""
                a definition needs "do"
                add `do:`"#]],
    );
    refused(
        r#"document:
  dsl: 1.0
  namespace: my_space
  name: -x
  version: 1.0
  titel: T
do:
  - a: { set: { x: 1 } }
"#,
        &expect![[r#"
            2:8 to 2:11 wrong_type at "/document/dsl"
                expected a text (a version such as '1.0.3'), found a number with a fraction
                put it in quotes
            3:14 to 3:22 bad_name at "/document/namespace"
                "my_space" is no valid name
                use letters, digits and hyphens, at most 63, with no hyphen at either end
            4:9 to 4:11 bad_name at "/document/name"
                "-x" is no valid name
                use letters, digits and hyphens, at most 63, with no hyphen at either end
            5:12 to 5:15 wrong_type at "/document/version"
                expected a text (a semantic version such as '1.0.0'), found a number with a fraction
                put it in quotes
            6:3 to 6:8 unknown_property at "/document/titel"
                the document has no property "titel"
                did you mean "title"?"#]],
    );
    refused(
        r#"document: { dsl: 1.1.0, namespace: n, name: n, version: v1.0.0 }
do: [ { a: { set: { x: 1 } } } ]
"#,
        &expect![[r#"
            1:18 to 1:23 unsupported_dsl_version at "/document/dsl"
                version 1.1.0 of the DSL is not supported
                use dsl: '1.0.3'
            1:57 to 1:63 bad_version at "/document/version"
                "v1.0.0" is no semantic version
                write three numbers, such as '1.0.0', without a leading v"#]],
    );
    refused(
        r#"document: { dsl: 0.8, namespace: 1, name: null, version: [1] }
do: {}
"#,
        &expect![[r#"
            1:18 to 1:21 wrong_type at "/document/dsl"
                expected a text (a version such as '1.0.3'), found a number with a fraction
                put it in quotes
            1:34 to 1:35 wrong_type at "/document/namespace"
                expected a text (a name of letters, digits and hyphens), found a whole number
                put it in quotes
            1:43 to 1:47 wrong_type at "/document/name"
                expected a text (a name of letters, digits and hyphens), found nothing (null)
                give it a value, or remove it
            1:58 to 1:61 wrong_type at "/document/version"
                expected a text (a semantic version such as '1.0.0'), found a list
                -
            2:5 to 2:7 wrong_type at "/do"
                expected a list, found an object
                start each member with a dash: `- name:`"#]],
    );
    refused(
        r#"documnet: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
do:
  - a: { set: { x: 1 } }
timeuot: PT1S
"#,
        &expect![[r#"
            1:1 to 1:9 missing_property at ""
                a definition needs "document"
                there is "documnet"; is it misspelt?
            1:1 to 1:9 unknown_property at "/documnet"
                a definition has no property "documnet"
                did you mean "document"?
            4:1 to 4:8 unknown_property at "/timeuot"
                a definition has no property "timeuot"
                did you mean "timeout"?"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0, tags: [a], summary: 5 }
do: [ { a: { set: { x: 1 } } } ]
evaluate: { language: js, mode: lose }
"#,
        &expect![[r#"
            1:70 to 1:73 wrong_type at "/document/tags"
                expected an object, found a list
                write names and values without dashes: `name: value`
            1:84 to 1:85 wrong_type at "/document/summary"
                expected a text, found a whole number
                put it in quotes
            3:23 to 3:25 bad_value at "/evaluate/language"
                "js" is no expression language; possible: jq
                did you mean "jq"?
            3:33 to 3:37 bad_value at "/evaluate/mode"
                "lose" is no evaluation mode; possible: strict, loose
                did you mean "loose"?"#]],
    );
}

#[test]
fn tasks_of_the_wrong_form() {
    refused_tasks(
        "",
        &expect![[r#"
        2:1 to 2:3 wrong_type at "/do"
            expected a list, found nothing (null)
            give it a value, or remove it"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
do: []
"#,
        &expect![[r#"
            2:5 to 2:7 empty_list at "/do"
                the list has no task
                add at least one member"#]],
    );
    refused_tasks(
        "  - a\n",
        &expect![[r#"
            3:5 to 3:6 wrong_type at "/do/0"
                expected an object with one name and its value, found a text
                write it as `name: value`, or { name: value }"#]],
    );
    refused_tasks(
        "  - {}\n",
        &expect![[r#"
        3:5 to 3:7 missing_name at "/do/0"
            the member of the list has no name
            write it as `- name:` with the content below"#]],
    );
    refused_tasks(
        "  - a:\n",
        &expect![[r#"
        3:5 to 3:6 wrong_type at "/do/0/a"
            expected an object (a task), found nothing (null)
            give it a value, or remove it"#]],
    );
    refused_tasks(
        "  - a: 5\n",
        &expect![[r#"
            3:8 to 3:9 wrong_type at "/do/0/a"
                expected an object (a task), found a whole number
                write it as `name: value`, or { name: value }"#]],
    );
    refused_tasks(
        r#"  - a:
    set: { x: 1 }
"#,
        &expect![[r#"
            3:5 to 3:6 wrong_type at "/do/0/a"
                expected an object (a task), found nothing (null)
                give it a value, or remove it
            4:5 to 4:8 several_names at "/do/0/set"
                the member "a" of the list has a second property "set"
                indent it deeper if it belongs to the first, or give it its own dash"#]],
    );
    refused_tasks(
        "  - a: { set: { x: 1 }, wait: PT1S }\n",
        &expect![[r#"
        3:25 to 3:29 several_task_kinds at "/do/0/a/wait"
            a task cannot be both "set" and "wait"
            make two tasks of it"#]],
    );
    refused_tasks(
        "  - a: { if: .x, then: end }\n",
        &expect![[r#"
        3:5 to 3:6 missing_task_kind at "/do/0/a"
            the task does not say what it does
            add one of call, emit, for, fork, listen, raise, run, set, switch, try, wait, do"#]],
    );
    refused_tasks(
        "  - a: { sett: { x: 1 } }\n",
        &expect![[r#"
        3:10 to 3:14 unknown_property at "/do/0/a/sett"
            a task has no property "sett"
            did you mean "set"?"#]],
    );
    refused_tasks(
        "  - a: { set: { x: 1 }, metdata: {}, foreach: {} }\n",
        &expect![[r#"
            3:25 to 3:32 unknown_property at "/do/0/a/metdata"
                a set task has no property "metdata"
                did you mean "metadata"?
            3:38 to 3:45 unknown_property at "/do/0/a/foreach"
                a set task has no property "foreach"
                known: if, input, output, export, timeout, then, metadata, set"#]],
    );
    refused_tasks(
        "  - a: { set: {} }\n",
        &expect![[r#"
            3:15 to 3:17 empty_object at "/do/0/a/set"
                a set task sets nothing
                name at least one value to set"#]],
    );
    refused_tasks(
        "  - a: { set: 5, if: true, then: [b] }\n",
        &expect![[r#"
            3:15 to 3:16 wrong_type at "/do/0/a/set"
                expected an object or a text with an expression, found a whole number
                write it as `name: value`, or { name: value }
            3:22 to 3:26 wrong_type at "/do/0/a/if"
                expected a text, found a boolean
                put it in quotes
            3:34 to 3:37 wrong_type at "/do/0/a/then"
                expected a text, found a list
                -"#]],
    );
    refused_tasks(
        "  - a: { set: words }\n",
        &expect![[r#"
        3:15 to 3:20 expression_expected at "/do/0/a/set"
            a set task sets an object, or what an expression gives
            write it as ${ … }, or name the values to set"#]],
    );
    refused_tasks(
        r#"  - a: { do: [] }
  - b: { fork: { branches: [] } }
  - c: { switch: [] }
"#,
        &expect![[r#"
            3:14 to 3:16 empty_list at "/do/0/a/do"
                the list has no task
                add at least one member
            4:28 to 4:30 empty_list at "/do/1/b/fork/branches"
                the fork has no branch
                add at least one member
            5:18 to 5:20 empty_list at "/do/2/c/switch"
                the switch has no case
                add at least one member"#]],
    );
    refused_tasks(
        "  - a: { do: { b: { set: { x: 1 } } } }\n",
        &expect![[r#"
            3:14 to 3:38 wrong_type at "/do/0/a/do"
                expected a list, found an object
                start each member with a dash: `- name:`"#]],
    );
    refused_tasks(
        r#"  - a: { fork: {} }
  - b: { try: [] }
  - c: { for: {}, do: [] }
"#,
        &expect![[r#"
            3:10 to 3:14 missing_property at "/do/0/a/fork"
                fork needs "branches"
                add `branches:`
            4:5 to 4:6 missing_property at "/do/1/b"
                a try task needs "catch"
                add `catch:`
            4:15 to 4:17 empty_list at "/do/1/b/try"
                the list has no task
                add at least one member
            5:10 to 5:13 missing_property at "/do/2/c/for"
                for needs "in"
                add `in:`"#]],
    );
    refused_tasks(
        "  - a: { fork: { branches: [{ b: { wait: PT1S } }], compete: \"yes\" } }\n",
        &expect![[r#"
            3:62 to 3:68 wrong_type at "/do/0/a/fork/compete"
                expected a boolean (true or false), found a text
                write it without quotes"#]],
    );
    refused_tasks(
        r#"  - a: { wait: 5 }
  - b: { wait: five minutes }
  - c: { wait: { minuts: 5 } }
  - d: { wait: {} }
  - e: { wait: { seconds: 1.5 } }
  - f: { wait: { seconds: -1 } }
  - g: { wait: P }
  - h: { wait: P1.5Y }
"#,
        &expect![[r#"
            3:16 to 3:17 wrong_type at "/do/0/a/wait"
                expected a duration (ISO 8601 text, object or expression), found a whole number
                write it as PT5S or { seconds: 5 }
            4:16 to 4:28 bad_duration at "/do/1/b/wait"
                not an ISO 8601 duration such as PT5M, P1DT12H or P2W
                write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression
            5:18 to 5:24 unknown_property at "/do/2/c/wait/minuts"
                a duration has no property "minuts"
                did you mean "minutes"?
            6:16 to 6:18 bad_duration at "/do/3/d/wait"
                a duration object needs days, hours, minutes, seconds, milliseconds
                write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression
            7:27 to 7:30 wrong_type at "/do/4/e/wait/seconds"
                expected a whole number, found a number with a fraction
                -
            8:16 to 8:31 bad_duration at "/do/5/f/wait"
                a duration cannot be negative
                write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression
            9:16 to 9:17 bad_duration at "/do/6/g/wait"
                not an ISO 8601 duration such as PT5M, P1DT12H or P2W
                write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression
            10:16 to 10:21 bad_duration at "/do/7/h/wait"
                years and months cannot have a fraction
                write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression"#]],
    );
    refused_tasks(
        "  - a: { input: { form: . }, output: { as: 5 }, export: . , set: { x: 1 } }\n",
        &expect![[r#"
            3:19 to 3:23 unknown_property at "/do/0/a/input/form"
                the input has no property "form"
                did you mean "from"?
            3:44 to 3:45 wrong_type at "/do/0/a/output/as"
                expected an object or a text with an expression, found a whole number
                write it as `name: value`, or { name: value }
            3:57 to 3:58 wrong_type at "/do/0/a/export"
                expected an object (the export), found a text
                write it as `name: value`, or { name: value }"#]],
    );
}

#[test]
fn jumps_and_names() {
    refused_tasks(
        r#"  - first: { set: { x: 1 }, then: secnd }
  - second: { set: { x: 2 }, then: nowhere }
"#,
        &expect![[r#"
            3:35 to 3:40 unknown_jump_target at "/do/0/first/then"
                there is no task "secnd" in this list
                did you mean "second"?
            4:36 to 4:43 unknown_jump_target at "/do/1/second/then"
                there is no task "nowhere" in this list
                known: first, second, continue, exit, end"#]],
    );
    refused_tasks(
        r#"  - a: { set: { x: 1 } }
  - a: { set: { x: 2 } }
"#,
        &expect![[r#"
            4:5 to 4:6 duplicate_task at "/do/1/a"
                the task "a" is in the list twice: as number 1 and number 2
                rename one of them"#]],
    );
    refused_tasks(
        r#"  - a: { set: { x: 1 }, then: end }
  - b: { set: { x: 2 } }
  - c: { set: { x: 3 } }
"#,
        &expect![[r#"
            4:5 to 4:6 unreachable_task at "/do/1/b"
                the task "b" can never be reached
                jump to it with `then`, move it, or remove it"#]],
    );
    refused_tasks(
        r#"  - a: { raise: { error: { type: https://e.com/x, status: 400 } } }
  - b: { set: { x: 2 } }
"#,
        &expect![[r#"
            4:5 to 4:6 unreachable_task at "/do/1/b"
                the task "b" can never be reached
                jump to it with `then`, move it, or remove it"#]],
    );
    refused_tasks(
        r#"  - a:
      switch:
        - one: { when: .x, then: c }
        - two: { then: exit }
  - b: { set: { x: 2 } }
  - c: { set: { x: 3 } }
"#,
        &expect![[r#"
            7:5 to 7:6 unreachable_task at "/do/1/b"
                the task "b" can never be reached
                jump to it with `then`, move it, or remove it"#]],
    );
    refused_tasks(
        r#"  - a:
      switch:
        - one: { when: .x, then: b }
        - one: { when: .y, then: zz }
        - two: { then: b }
        - three: { then: end }
        - four: { when: .z }
  - b: { set: { x: 2 } }
"#,
        &expect![[r#"
            6:11 to 6:14 duplicate_case at "/do/0/a/switch/1/one"
                the case "one" is there twice
                rename, change or remove it
            6:34 to 6:36 unknown_jump_target at "/do/0/a/switch/1/one/then"
                there is no task "zz" in this list
                known: a, b, continue, exit, end
            8:11 to 8:16 several_defaults at "/do/0/a/switch/3/three"
                the case "three" is a second one without "when"
                rename, change or remove it
            9:11 to 9:15 missing_property at "/do/0/a/switch/4/four"
                a case needs "then"
                add `then:`"#]],
    );
    refused_tasks(
        r#"  - a:
      do:
        - inner: { set: { x: 1 }, then: b }
  - b: { set: { x: 2 }, then: inner }
"#,
        &expect![[r#"
            5:41 to 5:42 unknown_jump_target at "/do/0/a/do/0/inner/then"
                there is no task "b" in this list
                known: inner, continue, exit, end
            6:31 to 6:36 unknown_jump_target at "/do/1/b/then"
                there is no task "inner" in this list
                known: a, b, continue, exit, end"#]],
    );
    refused_tasks(
        r#"  - a:
      fork:
        branches:
          - left: { set: { x: 1 }, then: right }
          - right: { set: { x: 2 } }
"#,
        &expect![[r#"
            6:42 to 6:47 unknown_jump_target at "/do/0/a/fork/branches/0/left/then"
                there is no task "right" in this list
                branches of a fork run beside each other; put the tasks of one branch into a `do`"#]],
    );
    refused_tasks(
        "  - end: { set: { x: 1 } }\n",
        &expect![[r#"
        3:5 to 3:8 reserved_name at "/do/0/end"
            a task cannot be named "end": as a jump target it means something else
            rename the task"#]],
    );
    refused_tasks(
        r#"  - a:
      for: { each: $order, at: my-index, in: .orders }
      do: [{ b: { set: { x: 1 } } }]
"#,
        &expect![[r#"
            4:20 to 4:26 bad_variable_name at "/do/0/a/for/each"
                "$order" cannot name a variable
                use letters, digits and underscores, and write it without $ here
            4:32 to 4:40 bad_variable_name at "/do/0/a/for/at"
                "my-index" cannot name a variable
                use letters, digits and underscores, and write it without $ here"#]],
    );
    refused_tasks(
        r#"  - a:
      for: { each: input, at: input, in: .orders }
      do: [{ b: { set: { x: 1 } } }]
"#,
        &expect![[r#"
            4:7 to 4:10 contradiction at "/do/0/a/for"
                the item and its index are both named "input"
                give `each` and `at` different names
            4:20 to 4:25 reserved_name at "/do/0/a/for/each"
                the variable $input has a meaning already
                choose another name
            4:31 to 4:36 reserved_name at "/do/0/a/for/at"
                the variable $input has a meaning already
                choose another name"#]],
    );
}

#[test]
fn expressions_that_are_wrong() {
    refused_tasks(
        "  - a: { if: '.x ==', set: { x: 1 } }\n",
        &expect![[r#"
        3:20 to 3:21 bad_expression at "/do/0/a/if"
            bad expression: expected term here
            -"#]],
    );
    refused_tasks(
        concat!(
            "  - a:\n",
            "      set:\n",
            "        deep:\n",
            "          - fine\n",
            "          - \"tab\\t${ .a }\"\n",
            "          - \"${ .a |\\u0020 frobnicate(1) }\"\n",
        ),
        &expect![[r#"
            8:28 to 8:44 bad_expression at "/do/0/a/set/deep/2"
                bad expression: unknown filter frobnicate
                -"#]],
    );
    refused_tasks(
        r#"  - a:
      set:
        x: |
          ${
            .a
            | $nobody
          }
"#,
        &expect![[r#"
            7:13 to 9:12 bad_expression at "/do/0/a/set/x"
                bad expression: unknown variable $nobody
                in scope here: $context, $input, $workflow, $runtime, $task"#]],
    );
    refused_tasks(
        r#"  - a:
      set:
        x: '${ "it''s" + $nobody }'
"#,
        &expect![[r#"
            5:27 to 5:36 bad_expression at "/do/0/a/set/x"
                bad expression: unknown variable $nobody
                in scope here: $context, $input, $workflow, $runtime, $task"#]],
    );
    refused_tasks(
        r#"  - a:
      set: ${ .a +
        $nobody }
"#,
        &expect![[r#"
            5:10 to 5:18 bad_expression at "/do/0/a/set"
                bad expression: unknown variable $nobody
                in scope here: $context, $input, $workflow, $runtime, $task"#]],
    );
    refused_tasks(
        r#"  - a: { for: { in: 5 }, do: [{ b: { set: { x: 1 } } }] }
  - c: { for: { in: "5" }, do: [{ b: { set: { x: 1 } } }] }
  - d: { for: { in: orders }, do: [{ b: { set: { x: 1 } } }] }
"#,
        &expect![[r#"
            3:21 to 3:22 wrong_type at "/do/0/a/for/in"
                expected a text, found a whole number
                put it in quotes
            4:21 to 4:25 wrong_type at "/do/1/c/for/in"
                for needs a list to go through, and this gives a number
                write an expression that gives a list, such as .orders
            5:21 to 5:27 bad_expression at "/do/2/d/for/in"
                bad expression: unknown filter orders
                -"#]],
    );
    refused_tasks(
        r#"  - a: { for: { in: .x, each: order }, do: [{ b: { set: { x: "${ $order + $item }" } } }] }
  - c: { set: { x: "${ $order }" } }
"#,
        &expect![[r#"
            3:76 to 3:84 bad_expression at "/do/0/a/do/0/b/set/x"
                bad expression: unknown variable $item
                in scope here: $context, $input, $workflow, $runtime, $task, $order, $index
            4:25 to 4:34 bad_expression at "/do/1/c/set/x"
                bad expression: unknown variable $order
                in scope here: $context, $input, $workflow, $runtime, $task"#]],
    );
    refused_tasks(
        "  - a: { set: { x: \"${ $output }\" }, output: { as: $output }, export: { as: $outptu } }\n",
        &expect![[r#"
            3:25 to 3:35 bad_expression at "/do/0/a/set/x"
                bad expression: unknown variable $output
                in scope here: $context, $input, $workflow, $runtime, $task
            3:78 to 3:84 bad_expression at "/do/0/a/export/as"
                bad expression: unknown variable $outptu
                in scope here: $context, $input, $workflow, $runtime, $task, $output"#]],
    );
    refused_tasks(
        "  - a: { set: { x: \"${ env.HOME }\", y: \"${ input }\", z: \"${ $ENV }\" } }\n",
        &expect![[r#"
            3:24 to 3:35 bad_expression at "/do/0/a/set/x"
                bad expression: env is off
                an expression cannot read the environment; pass the value as input or secret
            3:44 to 3:52 bad_expression at "/do/0/a/set/y"
                bad expression: input is off
                an expression has one input, which is `.`
            3:62 to 3:69 bad_expression at "/do/0/a/set/z"
                bad expression: unknown variable $ENV
                an expression cannot read the environment"#]],
    );
    refused_tasks(
        "  - a: { input: { from: \"\" }, set: \"${ }\" }\n",
        &expect![[r#"
            3:26 to 3:28 bad_expression at "/do/0/a/input/from"
                bad expression: expected term here
                -
            3:39 to 3:43 bad_expression at "/do/0/a/set"
                bad expression: expected term here
                -"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
input: { from: $task.name }
do: [{ a: { set: { x: 1 } } }]
output: { as: . | }
"#,
        &expect![[r#"
            2:17 to 2:26 bad_expression at "/input/from"
                bad expression: unknown variable $task
                in scope here: $context, $input, $workflow, $runtime
            4:17 to 4:18 bad_expression at "/output/as"
                bad expression: expected term here
                -"#]],
    );
}

#[test]
fn references_to_nothing() {
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
use:
  timeouts: { short: { after: PT1S } }
  retries: { gently: { delay: PT1S } }
  errors: { refused: { type: https://e.com/refused, status: 403 } }
  authentications: { store: { basic: { username: u, password: p } } }
timeout: shrot
do:
  - a:
      timeout: long
      try: [{ b: { raise: { error: refussed } } }]
      catch: { retry: gentle }
  - c:
      call: http
      with: { method: get, endpoint: { uri: https://e.com, authentication: { use: shop } } }
"#,
        &expect![[r#"
            7:10 to 7:15 unknown_timeout at "/timeout"
                there is no timeout "shrot"
                did you mean "short"?
            10:16 to 10:20 unknown_timeout at "/do/0/a/timeout"
                there is no timeout "long"
                known: short
            11:36 to 11:44 unknown_error at "/do/0/a/try/0/b/raise/error"
                there is no error "refussed"
                did you mean "refused"?
            12:23 to 12:29 unknown_retry at "/do/0/a/catch/retry"
                there is no retry policy "gentle"
                did you mean "gently"?
            15:83 to 15:87 unknown_authentication at "/do/1/c/with/endpoint/authentication/use"
                there is no authentication policy "shop"
                known: store"#]],
    );
    refused_tasks(
        r#"  - a: { call: sendmail }
  - b: { call: grcp, with: {} }
  - c: { call: "log:1.0.0@catalog" }
  - d: { call: https://e.com/function.yaml }
  - e: { call: "" }
"#,
        &expect![[r#"
            3:16 to 3:24 unknown_function at "/do/0/a/call"
                there is no function "sendmail"
                known: http, openapi, grpc, asyncapi, mcp, a2a; others are registered by the host
            4:16 to 4:20 unknown_function at "/do/1/b/call"
                there is no function "grcp"
                did you mean "grpc"? If it is one of the host, the host has to register it
            5:16 to 5:36 unsupported_feature at "/do/2/c/call"
                the function "log:1.0.0@catalog" of a catalog cannot be executed by this engine yet
                remove it; support will follow
            6:16 to 6:43 unsupported_feature at "/do/3/d/call"
                the function "https://e.com/function.yaml" of a catalog cannot be executed by this engine yet
                remove it; support will follow
            7:16 to 7:19 empty_text at "/do/4/e/call"
                the name of the function is empty
                give a name"#]],
    );
    refused(
        concat!(
            "document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }\n",
            "use:\n",
            "  secrets: [store, store, \"\"]\n",
            "  authentications: { a: { basic: { use: stroe } }, b: { bearer: { token: \"${ $secrets.other.token }\" } } }\n",
            "do:\n",
            "  - c:\n",
            "      call: http\n",
            "      with:\n",
            "        method: get\n",
            "        endpoint: https://e.com\n",
            "        headers: { A: \"${ $secrets.store.a + $secrets[\\\"none\\\"].b }\" }\n",
        ),
        &expect![[r#"
            3:20 to 3:25 duplicate_secret at "/use/secrets/1"
                the secret "store" is there twice
                remove one of them
            3:27 to 3:29 empty_text at "/use/secrets/2"
                the name is empty
                give the secret's name
            4:41 to 4:46 unknown_secret at "/use/authentications/a/basic/use"
                the secret "stroe" is not declared
                did you mean "store"?
            4:78 to 4:102 unknown_secret at "/use/authentications/b/bearer/token"
                the secret "other" is not declared
                known: store, 
            11:46 to 11:70 unknown_secret at "/do/0/c/with/headers/A"
                the secret "none" is not declared
                known: store, "#]],
    );
    refused_tasks(
        "  - a: { call: sendMail, with: { to: \"${ $secrets.mail.to }\" } }\n",
        &expect![[r#"
            3:42 to 3:62 unknown_secret at "/do/0/a/with/to"
                the secret "mail" is not declared
                add it under `use`: secrets: [mail]"#]],
    );
    refused_tasks(
        r#"  - a: { set: { x: "${ $secrets.mail }" } }
  - b: { if: $secrets.x == 1, wait: PT1S }
  - c: { emit: { event: { with: { type: t, source: https://e.com, data: "${ $authorization }" } } } }
  - d: { run: { workflow: { namespace: n, name: n, version: latest, input: { a: "${ $secrets.mail }" } } } }
"#,
        &expect![[r#"
            3:24 to 3:41 secret_not_allowed_here at "/do/0/a/set/x"
                $secrets cannot be used here: its value would be stored
                use it in the arguments (`with`) of a call
            4:14 to 4:29 secret_not_allowed_here at "/do/1/b/if"
                $secrets cannot be used here: its value would be stored
                use it in the arguments (`with`) of a call
            5:77 to 5:95 secret_not_allowed_here at "/do/2/c/emit/event/with/data"
                $authorization cannot be used here: its value would be stored
                use it in the arguments (`with`) of a call
            6:85 to 6:102 secret_not_allowed_here at "/do/3/d/run/workflow/input/a"
                $secrets cannot be used here: its value would be stored
                use it in the arguments (`with`) of a call"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
use:
  functions:
    one: { call: two }
    two: { do: [{ x: { call: one } }] }
    self: { call: self, with: { a: 1 } }
    fine: { call: sendMail, then: other }
do: [{ a: { call: one } }]
"#,
        &expect![[r#"
            4:18 to 4:21 function_cycle at "/use/functions/one/call"
                the function calls itself, and would never end
                use a loop (`for`, or a jump back), or a workflow that it runs
            5:30 to 5:33 function_cycle at "/use/functions/two/do/0/x/call"
                the function calls itself, and would never end
                use a loop (`for`, or a jump back), or a workflow that it runs
            6:19 to 6:23 function_cycle at "/use/functions/self/call"
                the function calls itself, and would never end
                use a loop (`for`, or a jump back), or a workflow that it runs
            7:35 to 7:40 unknown_jump_target at "/use/functions/fine/then"
                there is no task "other" in this list
                known: continue, exit, end"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
use:
  retries: { r: { when: .x ==, limit: { attempt: { count: -1 } } } }
  timeouts: { t: { after: "${ ( }" } }
  errors: { e: { type: "${ $x }", status: 400 } }
do: [{ a: { set: { x: 1 } } }]
"#,
        &expect![[r#"
            3:29 to 3:30 bad_expression at "/use/retries/r/when"
                bad expression: expected term here
                -
            3:59 to 3:61 out_of_range at "/use/retries/r/limit/attempt/count"
                -1 is no number of attempts
                use 0 for no retry, or a number up to 4294967295
            4:32 to 4:36 bad_expression at "/use/timeouts/t/after"
                bad expression: expected closing parenthesis here
                -
            5:29 to 5:33 bad_expression at "/use/errors/e/type"
                bad expression: unknown variable $x
                in scope here: $context, $input, $workflow, $runtime, $task"#]],
    );
}

#[test]
fn calls_with_wrong_arguments() {
    refused_tasks(
        r#"  - a: { call: http }
  - b: { call: http, with: {} }
"#,
        &expect![[r#"
            3:5 to 3:6 missing_property at "/do/0/a"
                a call task needs "with"
                add `with:`
            4:22 to 4:26 missing_property at "/do/1/b/with"
                an http call needs "method"
                add `method:`
            4:22 to 4:26 missing_property at "/do/1/b/with"
                an http call needs "endpoint"
                add `endpoint:`"#]],
    );
    refused_tasks(
        r#"  - a: { call: http, with: { method: get, endpoint: /pets } }
  - b: { call: http, with: { method: get, endpoint: "https://e.com/${ .id }" } }
  - c: { call: http, with: { method: get, endpoint: "https://e.com/{id" } }
  - d: { call: http, with: { method: get, endpoint: { url: https://e.com } } }
  - e: { call: http, with: { method: get, endpoint: [https://e.com] } }
"#,
        &expect![[r#"
            3:53 to 3:58 bad_uri at "/do/0/a/with/endpoint"
                "/pets" is no URI: it does not start with a scheme such as https://
                write it as scheme://host/path; {name} stands for a value of the input
            4:53 to 4:78 bad_uri at "/do/1/b/with/endpoint"
                "https://e.com/${ .id }" mixes a URI and an expression
                make the whole text an expression, such as ${ "https://host/\(.id)" }
            5:53 to 5:73 bad_uri at "/do/2/c/with/endpoint"
                "https://e.com/{id" is no URI: a { has no }
                write it as scheme://host/path; {name} stands for a value of the input
            6:43 to 6:51 missing_property at "/do/3/d/with/endpoint"
                an endpoint needs "uri"
                there is "url"; is it misspelt?
            6:55 to 6:58 unknown_property at "/do/3/d/with/endpoint/url"
                an endpoint has no property "url"
                did you mean "uri"?
            7:53 to 7:68 wrong_type at "/do/4/e/with/endpoint"
                expected an endpoint (URI, expression or object), found a list
                -"#]],
    );
    refused_tasks(
        "  - a: { call: http, with: { method: get, endpoint: https://e.com, headers: { Count: 5 }, query: words, output: contents, redirect: \"true\", bdy: x } }\n",
        &expect![[r#"
            3:86 to 3:87 wrong_type at "/do/0/a/with/headers/Count"
                expected a text, found a whole number
                put it in quotes
            3:98 to 3:103 expression_expected at "/do/0/a/with/query"
                "words" is no runtime expression
                write it as ${ … }
            3:113 to 3:121 bad_value at "/do/0/a/with/output"
                "contents" is no output format; possible: raw, content, response
                did you mean "content"?
            3:133 to 3:139 wrong_type at "/do/0/a/with/redirect"
                expected a boolean (true or false), found a text
                write it without quotes
            3:141 to 3:144 unknown_property at "/do/0/a/with/bdy"
                an http call has no property "bdy"
                did you mean "body"?"#]],
    );
    refused_tasks(
        r#"  - a: { call: http, with: { method: get, endpoint: { uri: https://e.com, authentication: { basic: { username: u } } } } }
  - b: { call: http, with: { method: get, endpoint: { uri: https://e.com, authentication: { basci: {} } } } }
  - c: { call: http, with: { method: get, endpoint: { uri: https://e.com, authentication: { basic: { username: u, password: p }, bearer: { token: t } } } } }
  - d: { call: http, with: { method: get, endpoint: { uri: https://e.com, authentication: { oauth2: { grant: pasword, authority: login } } } } }
"#,
        &expect![[r#"
            3:93 to 3:98 missing_property at "/do/0/a/with/endpoint/authentication/basic"
                the authentication needs "password"
                add `password:`
            4:75 to 4:89 missing_property at "/do/1/b/with/endpoint/authentication"
                an authentication policy needs one of these: basic, bearer, digest, oauth2, oidc
                did you mean "basic" by "basci"?
            5:130 to 5:136 contradiction at "/do/2/c/with/endpoint/authentication/bearer"
                "basic" and "bearer" exclude each other
                keep one of them
            6:110 to 6:117 bad_value at "/do/3/d/with/endpoint/authentication/oauth2/grant"
                "pasword" is no grant; possible: authorization_code, client_credentials, password, refresh_token, urn:ietf:params:oauth:grant-type:token-exchange
                did you mean "password"?
            6:130 to 6:135 bad_uri at "/do/3/d/with/endpoint/authentication/oauth2/authority"
                "login" is no URI: it does not start with a scheme such as https://
                write it as scheme://host/path; {name} stands for a value of the input"#]],
    );
    refused_tasks(
        "  - a: { call: grpc, with: { proto: { endpoint: https://e.com/p }, service: { name: P, host: \"https://h\", port: 70000 }, method: M } }\n",
        &expect![[r#"
            3:94 to 3:105 bad_host at "/do/0/a/with/service/host"
                "https://h" is no valid host
                give the name alone, without scheme, port or path
            3:113 to 3:118 out_of_range at "/do/0/a/with/service/port"
                70000 is no port
                use a number from 0 to 65535"#]],
    );
    refused_tasks(
        r#"  - a: { call: asyncapi, with: { document: { endpoint: https://e.com }, operation: o, channel: c, message: {} } }
  - b: { call: asyncapi, with: { document: { endpoint: https://e.com }, operation: o } }
  - c: { call: asyncapi, with: { document: { endpoint: https://e.com }, operation: o, protocol: kafak, subscription: { filter: .x, consume: { amount: 1, while: "${ .x }" } } } }
"#,
        &expect![[r#"
            3:87 to 3:94 contradiction at "/do/0/a/with/channel"
                "operation" and "channel" exclude each other
                keep one of them
            4:26 to 4:30 missing_property at "/do/1/b/with"
                an asyncapi call needs one of these: message, subscription
                add `message:`
            5:97 to 5:102 bad_value at "/do/2/c/with/protocol"
                "kafak" is no protocol; possible: amqp, amqp1, anypointmq, googlepubsub, http, ibmmq, jms, kafka, mercure, mqtt, mqtt5, nats, pulsar, redis, sns, solace, sqs, stomp, ws
                did you mean "kafka"?
            5:128 to 5:130 expression_expected at "/do/2/c/with/subscription/filter"
                ".x" is no runtime expression
                write it as ${ … }
            5:154 to 5:159 contradiction at "/do/2/c/with/subscription/consume/while"
                "amount" and "while" exclude each other
                keep one of them"#]],
    );
    refused_tasks(
        r#"  - a: { call: mcp, with: { method: tools/cal, transport: {} } }
  - b: { call: a2a, with: { method: message } }
  - c: { call: openapi, with: { document: https://e.com, operationId: 5 } }
"#,
        &expect![[r#"
            3:37 to 3:46 bad_value at "/do/0/a/with/method"
                "tools/cal" is no mcp method; possible: tools/list, tools/call, prompts/list, prompts/get, resources/list, resources/read, resources/templates/list
                did you mean "tools/call"?
            3:48 to 3:57 missing_property at "/do/0/a/with/transport"
                the transport needs one of these: http, stdio
                add `http:`
            4:37 to 4:44 bad_value at "/do/1/b/with/method"
                "message" is no a2a method; possible: message/send, message/stream, tasks/get, tasks/list, tasks/cancel, tasks/resubscribe, tasks/pushNotificationConfig/set, tasks/pushNotificationConfig/get, tasks/pushNotificationConfig/list, tasks/pushNotificationConfig/delete, agent/getAuthenticatedExtendedCard
                -
            5:43 to 5:56 wrong_type at "/do/2/c/with/document"
                expected an object (a resource), found a text
                write it as `name: value`, or { name: value }
            5:71 to 5:72 wrong_type at "/do/2/c/with/operationId"
                expected a text, found a whole number
                put it in quotes"#]],
    );
    refused_tasks(
        r#"  - a: { run: {} }
  - b: { run: { script: { language: js }, shell: { command: ls } } }
  - c: { run: { script: { language: js, code: x, source: { endpoint: https://e.com } } } }
  - d: { run: { container: { image: a, lifetime: { cleanup: eventually } } } }
  - e: { run: { container: { image: a, lifetime: { cleanup: never, after: PT1S } } } }
  - f: { run: { workflow: { namespace: n, name: a_b, version: newest } } }
  - g: { run: { shell: { command: ls, arguments: ls }, return: everything } }
"#,
        &expect![[r#"
            3:10 to 3:13 missing_property at "/do/0/a/run"
                run needs one of these: container, script, shell, workflow
                add `container:`
            4:43 to 4:48 contradiction at "/do/1/b/run/shell"
                "script" and "shell" exclude each other
                keep one of them
            5:50 to 5:56 contradiction at "/do/2/c/run/script/source"
                "code" and "source" exclude each other
                keep one of them
            6:40 to 6:48 missing_property at "/do/3/d/run/container/lifetime"
                the cleanup "eventually" needs "after"
                add `after:` with a duration
            7:68 to 7:73 contradiction at "/do/4/e/run/container/lifetime/after"
                "after" goes with the cleanup "eventually" only
                remove it, or change the cleanup
            8:49 to 8:52 bad_name at "/do/5/f/run/workflow/name"
                "a_b" is no valid name
                use letters, digits and hyphens, at most 63, with no hyphen at either end
            8:63 to 8:69 bad_version at "/do/5/f/run/workflow/version"
                "newest" is no semantic version
                write three numbers, such as '1.0.0', without a leading v
            9:50 to 9:52 wrong_type at "/do/6/g/run/shell/arguments"
                expected a list, found a text
                write it as [a, b], or each member after a dash
            9:64 to 9:74 bad_value at "/do/6/g/run/return"
                "everything" is no kind of result; possible: stdout, stderr, code, all, none
                -"#]],
    );
}

#[test]
fn events_errors_and_retries() {
    refused_tasks(
        r#"  - a: { emit: { event: {} } }
  - b: { emit: { event: { with: { type: t } } } }
  - c: { emit: { event: { with: { type: t, source: here, time: noon } } } }
"#,
        &expect![[r#"
            3:18 to 3:23 missing_property at "/do/0/a/emit/event"
                the event needs "with"
                add `with:`
            4:27 to 4:31 missing_property at "/do/1/b/emit/event/with"
                an event that is emitted needs "source"
                add `source:`
            5:52 to 5:56 bad_uri at "/do/2/c/emit/event/with/source"
                "here" is no URI: it does not start with a scheme such as https://
                write it as scheme://host/path; {name} stands for a value of the input
            5:64 to 5:68 bad_time at "/do/2/c/emit/event/with/time"
                "noon" is no date and time
                write it as 2026-01-31T12:00:00Z, or as an expression ${ … }"#]],
    );
    refused_tasks(
        r#"  - a: { listen: {} }
  - b: { listen: { to: { one: { with: {} } } } }
  - c: { listen: { to: { one: {}, any: [] } } }
  - d: { listen: { to: { all: [] }, read: body } }
  - e: { listen: { to: { any: [{ with: { type: t }, correlate: { o: { expect: x } } }], until: 5 } } }
  - f: { listen: { to: { any: [], until: { any: [], until: .x } } } }
  - g: { listen: { to: { all: [{ with: { type: t } }], until: .x } }, foreach: { item: a b, do: [] } }
"#,
        &expect![[r#"
            3:10 to 3:16 missing_property at "/do/0/a/listen"
                listen needs "to"
                add `to:`
            4:39 to 4:41 empty_object at "/do/1/b/listen/to/one/with"
                the event filter asks for nothing
                name at least one attribute, such as type
            5:35 to 5:38 contradiction at "/do/2/c/listen/to/any"
                "one" and "any" exclude each other
                keep one of them
            6:31 to 6:33 empty_list at "/do/3/d/listen/to/all"
                there is no event to wait for
                add at least one member
            6:43 to 6:47 bad_value at "/do/3/d/listen/read"
                "body" is no way to read an event; possible: data, envelope, raw
                -
            7:66 to 7:67 missing_property at "/do/4/e/listen/to/any/0/correlate/o"
                a correlation needs "from"
                add `from:`
            7:96 to 7:97 wrong_type at "/do/4/e/listen/to/until"
                expected an expression (text) or events (object), found a whole number
                -
            8:42 to 8:64 contradiction at "/do/5/f/listen/to/until"
                "until" cannot have an "until" of its own
                remove the inner one
            9:56 to 9:61 unknown_property at "/do/6/g/listen/to/until"
                the choice of events has no property "until"
                known: all
            9:88 to 9:91 bad_variable_name at "/do/6/g/foreach/item"
                "a b" cannot name a variable
                use letters, digits and underscores, and write it without $ here
            9:97 to 9:99 empty_list at "/do/6/g/foreach/do"
                the list has no task
                add at least one member"#]],
    );
    refused_tasks(
        r#"  - a: { raise: {} }
  - b: { raise: { error: { type: t, status: "400" } } }
  - c: { raise: { error: { type: https://e.com, status: 400, code: 5 } } }
"#,
        &expect![[r#"
            3:10 to 3:15 missing_property at "/do/0/a/raise"
                raise needs "error"
                add `error:`
            4:34 to 4:35 bad_uri at "/do/1/b/raise/error/type"
                "t" is no URI: it does not start with a scheme such as https://
                write it as scheme://host/path; {name} stands for a value of the input
            4:45 to 4:51 wrong_type at "/do/1/b/raise/error/status"
                expected a whole number, found a text
                write it without quotes
            5:62 to 5:66 unknown_property at "/do/2/c/raise/error/code"
                an error has no property "code"
                known: type, status, instance, title, detail"#]],
    );
    refused_tasks(
        r#"  - a:
      try: [{ b: { set: { x: 1 } } }]
      catch:
        errors: { with: {} }
        as: 1st
        retry: { delay: soon, backoff: { linear: {}, constant: {} }, limit: { attempt: { count: many } }, jitter: { from: PT1S } }
  - c:
      try: [{ d: { set: { x: 1 } } }]
      catch:
        errors: { with: { typ: https://e.com, status: "${ .x }" } }
        retry: { backoff: { exponential: { factor: 0.5 } } }
"#,
        &expect![[r#"
            6:25 to 6:27 empty_object at "/do/0/a/catch/errors/with"
                the error filter asks for nothing
                name what the error must have, or remove `with`
            7:13 to 7:16 bad_variable_name at "/do/0/a/catch/as"
                "1st" cannot name a variable
                use letters, digits and underscores, and write it without $ here
            8:25 to 8:29 bad_duration at "/do/0/a/catch/retry/delay"
                not an ISO 8601 duration such as PT5M, P1DT12H or P2W
                write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression
            8:42 to 8:48 contradiction at "/do/0/a/catch/retry/backoff/linear"
                "constant" and "linear" exclude each other
                keep one of them
            8:97 to 8:101 wrong_type at "/do/0/a/catch/retry/limit/attempt/count"
                expected a whole number, found a text
                write it without quotes
            8:107 to 8:113 missing_property at "/do/0/a/catch/retry/jitter"
                the jitter needs "to"
                add `to:`
            12:27 to 12:30 unknown_property at "/do/1/c/catch/errors/with/typ"
                an error has no property "typ"
                did you mean "type"?
            12:55 to 12:65 wrong_type at "/do/1/c/catch/errors/with/status"
                expected a whole number, found a text
                write it without quotes
            13:52 to 13:55 out_of_range at "/do/1/c/catch/retry/backoff/exponential/factor"
                the factor 0.5 makes the delay shrink
                use a number of at least 1, such as 2"#]],
    );
    refused_tasks(
        r#"  - a:
      try: [{ b: { set: { x: 1 } } }]
      catch: { errors: { with: { type: "${ .x }", titel: x } }, when: $err, do: [{ c: { set: { y: "${ $error }" } } }] }
"#,
        &expect![[r#"
            5:40 to 5:49 wrong_type at "/do/0/a/catch/errors/with/type"
                an error filter compares with plain values
                write the condition as `when` of the catch
            5:51 to 5:56 unknown_property at "/do/0/a/catch/errors/with/titel"
                an error has no property "titel"
                did you mean "title"?
            5:72 to 5:75 bad_expression at "/do/0/a/catch/when"
                bad expression: unknown variable $err
                in scope here: $context, $input, $workflow, $runtime, $task, $error"#]],
    );
}

#[test]
fn schedules_schemas_and_what_is_not_supported() {
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
schedule: { every: 5m, cron: "* * * *", after: {}, on: {} }
do: [{ a: { set: { x: 1 } } }]
"#,
        &expect![[r#"
            2:20 to 2:22 bad_duration at "/schedule/every"
                not an ISO 8601 duration such as PT5M, P1DT12H or P2W
                write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression
            2:30 to 2:39 bad_cron at "/schedule/cron"
                "* * * *" has 4 fields
                write five fields (minute, hour, day of month, month, day of week), or six with seconds first
            2:48 to 2:50 bad_duration at "/schedule/after"
                a duration object needs days, hours, minutes, seconds, milliseconds
                write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression
            2:52 to 2:54 missing_property at "/schedule/on"
                the choice of events needs one of these: one, any, all
                add `one:`"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
schedule: { cron: 61 0 * * FRY }
do: [{ a: { set: { x: 1 } } }]
"#,
        &expect![[r#"
            2:19 to 2:31 bad_cron at "/schedule/cron"
                the minute "61" is not valid: possible are 0 to 59
                write *, a value, a range such as 1-5, a step such as */15, or a list of those"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
schedule: {}
do: [{ a: { set: { x: 1 } } }]
"#,
        &expect![[r#"
            2:11 to 2:13 empty_object at "/schedule"
                the schedule does not say when to start
                add `every`, `cron`, `after` or `on`"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
input:
  schema:
    document:
      type: object
      properties:
        a: { type: strng }
do: [{ a: { set: { x: 1 } } }]
output: { schema: {} }
"#,
        &expect![[r#"
            7:20 to 7:25 bad_schema at "/input/schema/document/properties/a/type"
                not a valid JSON Schema: "strng" is not valid under any of the schemas listed in the 'anyOf' keyword
                types are string, number, integer, boolean, object, array and null
            9:19 to 9:21 missing_property at "/output/schema"
                a schema needs "document" or "resource"
                add `document:` with the JSON Schema"#]],
    );
    refused_tasks(
        r#"  - a: { set: { x: 1 }, output: { schema: { resource: { endpoint: https://e.com/s } } } }
  - b: { set: { x: 1 }, output: { schema: { format: avro, document: {} } } }
  - c: { set: { x: 1 }, output: { schema: { document: text } } }
  - d: { set: { x: 1 }, output: { schema: { document: { $ref: https://e.com/s } } } }
  - e: { set: { x: 1 }, output: { schema: { document: { pattern: "(?=a)" } } } }
"#,
        &expect![[r#"
            3:45 to 3:53 unsupported_feature at "/do/0/a/output/schema/resource"
                an external schema cannot be executed by this engine yet
                remove it; support will follow
            4:53 to 4:57 unsupported_feature at "/do/1/b/output/schema/format"
                the schema format "avro" cannot be executed by this engine yet
                remove it; support will follow
            5:55 to 5:59 bad_schema at "/do/2/c/output/schema/document"
                a JSON Schema is an object or a boolean
                write the schema in place, such as { type: object }
            6:55 to 6:80 bad_schema at "/do/3/d/output/schema/document"
                not a valid JSON Schema: Resource 'https://e.com/s' is not present in a registry and retrieving it failed: Retrieval is disabled, cannot fetch https://e.com/s
                references must stay inside the schema, and patterns have no look-around
            7:66 to 7:74 bad_schema at "/do/4/e/output/schema/document/pattern"
                not a valid JSON Schema: "(?=a)" is not a "regex"
                references must stay inside the schema, and patterns have no look-around"#]],
    );
    refused(
        r#"document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }
use:
  catalogs: { c: { endpoint: https://e.com } }
  extensions:
    - log: { extend: al, before: [{ x: { set: { y: 1 } } }] }
    - more: { extend: all, when: ., after: [{ x: { set: { y: "${ $z }" }, then: q } }] }
do: [{ a: { set: { x: 1 } } }]
"#,
        &expect![[r#"
            3:3 to 3:11 unsupported_feature at "/use/catalogs"
                a catalog cannot be executed by this engine yet
                remove it; support will follow
            5:22 to 5:24 bad_value at "/use/extensions/0/log/extend"
                "al" is no kind of task; possible: call, composite, emit, for, listen, raise, run, set, switch, try, wait, all
                did you mean "all"?"#]],
    );
}
