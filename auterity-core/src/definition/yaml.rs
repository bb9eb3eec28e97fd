//! Writing YAML.
//!
//! An emitter of our own: the usual one (`serde_yaml`) is archived, and what a
//! definition needs is small. A text is written plain only where it is a simple
//! word that no reader takes for anything else, and quoted in all other cases.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Implicit keys may have at most 1024 characters in YAML.
const SIMPLE_KEY_MAX: usize = 512;

/// Writes a value as a YAML document in block style.
pub(crate) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(object) if !object.is_empty() => write_object(object, 0, &mut out),
        Value::Array(items) if !items.is_empty() => write_list(items, 0, &mut out),
        scalar => {
            write_scalar(scalar, &mut out);
            out.push('\n');
        }
    }
    out
}

fn write_object(object: &Map<String, Value>, indent: usize, out: &mut String) {
    for (index, (key, value)) in object.iter().enumerate() {
        if 0 < index {
            pad(indent, out);
        }
        write_entry(key, value, indent, out);
    }
}

fn write_entry(key: &str, value: &Value, indent: usize, out: &mut String) {
    if SIMPLE_KEY_MAX < key.len() {
        out.push_str("? ");
        write_text(key, out);
        out.push('\n');
        pad(indent, out);
        out.push(':');
    } else {
        write_text(key, out);
        out.push(':');
    }
    match value {
        Value::Object(object) if !object.is_empty() => {
            out.push('\n');
            pad(indent + 2, out);
            write_object(object, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(indent + 2, out);
            write_list(items, indent + 2, out);
        }
        scalar => {
            out.push(' ');
            write_scalar(scalar, out);
            out.push('\n');
        }
    }
}

fn write_list(items: &[Value], indent: usize, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if 0 < index {
            pad(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(object) if !object.is_empty() => write_object(object, indent + 2, out),
            Value::Array(inner) if !inner.is_empty() => write_list(inner, indent + 2, out),
            scalar => {
                write_scalar(scalar, out);
                out.push('\n');
            }
        }
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn write_scalar(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => write_text(text, out),
        // JSON's form of these is YAML's as well.
        other => out.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
    } else if text.chars().all(is_printable) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    } else {
        write_escaped(text, out);
    }
}

/// Tells whether a text is a simple word that stays a text without quotes.
fn is_plain(text: &str) -> bool {
    const RESERVED: [&str; 10] = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", "~",
    ];
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let is_spaced = |c: char| is_word(c) || matches!(c, ' ' | ',' | '(' | ')' | '+' | '=');
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.ends_with(is_word)
        && text.chars().all(is_spaced)
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
}

/// Tells whether a character may stand as it is in a quoted text on one line.
fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{2030}'..='\u{d7ff}')
}

fn write_escaped(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            printable if is_printable(printable) => out.push(printable),
            other => {
                let code = u32::from(other);
                let written = match code {
                    0..=0xff => write!(out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
                debug_assert!(written.is_ok(), "writing to a string cannot fail");
            }
        }
    }
    out.push('"');
}
