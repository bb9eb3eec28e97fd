//! Good definitions made bad at random: never a panic, always a place.

use auterity_core::definition::{CompileOptions, Limits, compile, parse};
use serde_json::{Value, json};

use super::places::check_places;
use super::samples::all;

/// A small generator of numbers, so that each failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides.max(1)
    }
}

/// Compiles a text that may be good or bad; tells whether it was refused.
fn is_refused(text: &str, value: Option<&Value>) -> bool {
    match compile(text, &CompileOptions::default()) {
        Ok(_) => false,
        Err(mistakes) => {
            check_places(text, value, &mistakes);
            true
        }
    }
}

#[test]
fn changed_trees_are_refused_at_their_place() {
    const CHANGES_EACH: usize = 25;
    let mut dice = Dice(1);
    let mut refused = 0;
    for sample in all() {
        let definition = parse(&sample.text, &Limits::default()).expect("a good definition");
        for _ in 0..CHANGES_EACH {
            let mut value = definition.to_value();
            for _ in 0..=dice.roll(2) {
                change(&mut value, &mut dice);
            }
            let pretty = format!("{value:#}");
            refused += usize::from(is_refused(&pretty, Some(&value)));
        }
    }
    assert!(100 < refused, "{refused} broken definitions are too few");
}

#[test]
fn changed_texts_are_refused_at_their_place() {
    const CHANGES_EACH: usize = 60;
    let mut dice = Dice(2);
    let mut refused = 0;
    for sample in all() {
        for _ in 0..CHANGES_EACH {
            let mut text = sample.text.clone();
            for _ in 0..=dice.roll(3) {
                text = edited(&text, &mut dice);
            }
            refused += usize::from(is_refused(&text, None));
        }
    }
    assert!(100 < refused, "{refused} broken definitions are too few");
}

/// Changes one place of a value.
fn change(value: &mut Value, dice: &mut Dice) {
    let pointers = pointers(value);
    let pointer = &pointers[dice.roll(pointers.len())];
    let Some(place) = value.pointer_mut(pointer) else {
        return;
    };
    match (dice.roll(7), place) {
        (0, Value::Object(object)) => {
            let key = object.keys().nth(dice.roll(object.len())).cloned();
            if let Some(key) = key {
                object.shift_remove(&key);
            }
        }
        (1, Value::Object(object)) => {
            let key = object.keys().nth(dice.roll(object.len())).cloned();
            if let Some((key, value)) = key.and_then(|key| object.shift_remove_entry(&key)) {
                let cut: String = key.chars().skip(1).collect();
                object.insert(format!("{cut}{}", ["", "x", "~/"][dice.roll(3)]), value);
            }
        }
        (2, Value::Object(object)) => {
            object.insert(
                ["then", "do", "call", "", "nöthing"][dice.roll(5)].to_owned(),
                json!("x"),
            );
        }
        (3, Value::Array(list)) => {
            if let Some(item) = list.get(dice.roll(list.len())).cloned() {
                list.push(item);
            }
        }
        (4, Value::Array(list)) => {
            let at = dice.roll(list.len());
            if at < list.len() {
                list.remove(at);
            }
        }
        (5, Value::String(text)) => {
            let at = dice.roll(text.chars().count());
            *text = text.chars().take(at).collect();
        }
        (_, place) => {
            let others = [
                json!(null),
                json!(true),
                json!(-1),
                json!(1.5),
                json!(""),
                json!("${ $nobody }"),
                json!("${ "),
                json!([]),
                json!({}),
                json!([{ "a": { "set": {} } }]),
            ];
            *place = others[dice.roll(others.len())].clone();
        }
    }
}

fn pointers(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (key, value) in inner {
        found.extend(
            pointers(value)
                .into_iter()
                .map(|rest| format!("/{key}{rest}")),
        );
    }
    found
}

/// Cuts, repeats or inserts something somewhere.
fn edited(text: &str, dice: &mut Dice) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = dice.roll(chars.len() + 1);
    let to = (at + dice.roll(20)).min(chars.len());
    let (before, after) = (&chars[..at], &chars[to..]);
    let inserts = [
        "",
        "\n",
        " ",
        "\t",
        ":",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "'",
        "\"",
        "\\",
        "#",
        "&a ",
        "*a",
        "!t ",
        "|",
        ">",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\u{0}",
        "\u{feff}",
        "ä",
        "😀",
        "\r",
        "<<: ",
        "${",
        "\u{2028}",
        "@",
        "`",
        ",",
        "~",
        "0x",
        ".nan",
        "\u{85}",
    ];
    let middle: String = match dice.roll(4) {
        0 => String::new(),
        1 => chars[at..to].iter().chain(&chars[at..to]).collect(),
        _ => inserts[dice.roll(inserts.len())].to_owned(),
    };
    let cut = if dice.roll(10) == 0 { &[] } else { after };
    before.iter().collect::<String>() + &middle + &cut.iter().collect::<String>()
}
