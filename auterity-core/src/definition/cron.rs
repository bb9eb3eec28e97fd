//! Checking of cron expressions.

use super::text::{Objection, shown};

/// One field: its name, least and greatest value, and names for values.
struct Field {
    name: &'static str,
    least: u32,
    greatest: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 6] = [
    Field {
        name: "second",
        least: 0,
        greatest: 59,
        names: &[],
    },
    Field {
        name: "minute",
        least: 0,
        greatest: 59,
        names: &[],
    },
    Field {
        name: "hour",
        least: 0,
        greatest: 23,
        names: &[],
    },
    Field {
        name: "day of month",
        least: 1,
        greatest: 31,
        names: &[],
    },
    Field {
        name: "month",
        least: 1,
        greatest: 12,
        names: &MONTHS,
    },
    Field {
        name: "day of week",
        least: 0,
        greatest: 7,
        names: &DAYS,
    },
];

/// Checks five fields, or six with seconds before them.
pub(crate) fn check(text: &str) -> Option<Objection> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let fields = match parts.len() {
        5 => FIELDS.get(1..)?,
        6 => &FIELDS,
        count => {
            let message = format!("\"{}\" has {count} fields", shown(text));
            let hint = "write five fields (minute, hour, day of month, month, day of week), or six with seconds first";
            return Some(("bad_cron", message, hint));
        }
    };
    for (field, part) in fields.iter().zip(&parts) {
        if let Some(what) = part.split(',').find_map(|item| check_item(field, item)) {
            let message = format!(
                "the {} \"{}\" is not valid: {what}",
                field.name,
                shown(part)
            );
            let hint =
                "write *, a value, a range such as 1-5, a step such as */15, or a list of those";
            return Some(("bad_cron", message, hint));
        }
    }
    let what = crate::schedule::pattern(text).err()?;
    let message = format!("\"{}\" cannot be used: {what}", shown(text));
    Some((
        "bad_cron",
        message,
        "write a time that comes again and again",
    ))
}

fn check_item(field: &Field, item: &str) -> Option<String> {
    let is_day = field.name.starts_with("day");
    if is_day && is_special_day(item) {
        return None;
    }
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    if let Some(step) = step {
        let step: Option<u32> = step.parse().ok();
        if !step.is_some_and(|step| 1 <= step && step <= field.greatest.max(1)) {
            return Some(format!("a step is a number from 1 to {}", field.greatest));
        }
    }
    if range == "*" || (range == "?" && is_day && step.is_none()) {
        return None;
    }
    let (from, to) = match range.split_once('-') {
        Some((from, to)) => (from, Some(to)),
        None => (range, None),
    };
    let out = || {
        let (least, greatest) = (field.least, field.greatest);
        match field.names {
            [first, .., last] => {
                format!("possible are {least} to {greatest} and {first} to {last}")
            }
            _ => format!("possible are {least} to {greatest}"),
        }
    };
    let Some(from) = value(field, from) else {
        return Some(out());
    };
    match to.map(|to| value(field, to)) {
        None => None,
        Some(None) => Some(out()),
        Some(Some(to)) if to < from => Some("the range ends before it starts".to_owned()),
        Some(Some(_)) => None,
    }
}

/// Tells whether this is the last day (`L`), a working day near a date (`15W`, `LW`), or
/// a weekday by its place in the month (`MON#2`, `5L`), which the evaluation checks.
fn is_special_day(item: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match item.split_once('#') {
        Some((day, place)) => plain(day) && plain(place),
        None => item
            .strip_suffix(['L', 'W'])
            .is_some_and(|day| day == "L" || day.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

fn value(field: &Field, text: &str) -> Option<u32> {
    let named = field
        .names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text));
    if let Some(index) = named {
        return u32::try_from(index).ok().map(|index| index + field.least);
    }
    if text.is_empty() || 2 < text.len() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u32 = text.parse().ok()?;
    (field.least..=field.greatest)
        .contains(&number)
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn good_expressions_pass() {
        let table = [
            "0 0 * * *",
            "*/15 9-17 * * MON-FRI",
            "0 0 1,15 jan,JUL ?",
            "30 0 0 * * *",
            "0/5 * * * 7",
            "59 23 31 12 0",
            "0 0 L * *",
            "0 0 LW * MON#2",
            "0 0 15W * 5L",
        ];
        for text in table {
            assert!(check(text).is_none(), "{text}: {:?}", check(text));
        }
    }

    #[test]
    fn bad_expressions_are_refused() {
        let table = [
            "",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "1- * * * *",
            ", * * * *",
            "* * * FOO *",
            "@daily",
            "? * * * *",
            "*/x * * * *",
            "1--3 * * * *",
            "٣ * * * *",
            "0 0 30 2 *",
            "0 0 * * MON#9",
            "0 L * * *",
        ];
        for text in table {
            assert!(check(text).is_some(), "{text}");
        }
    }
}
