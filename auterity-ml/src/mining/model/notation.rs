//! Process trees as text, as other tools write them.

use std::fmt;
use std::str::FromStr;

use super::tree::ProcessTree;
use crate::{Error, ErrorKind};

const DEPTH_MAX: usize = 200;

/// `->( 'a', X( 'b', tau ), +( 'c', 'd' ), *( 'e', tau ) )`: sequence, choice, parallel,
/// loop. A quote in a name is written twice.
impl fmt::Display for ProcessTree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = |out: &mut fmt::Formatter<'_>, sign: &str, parts: &[&Self]| {
            write!(out, "{sign}( ")?;
            for (at, part) in parts.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                write!(out, "{comma}{part}")?;
            }
            out.write_str(" )")
        };
        match self {
            Self::Silent => out.write_str("tau"),
            Self::Activity(name) => write!(out, "'{}'", name.replace('\'', "''")),
            Self::Sequence(parts) => block(out, "->", &parts.iter().collect::<Vec<_>>()),
            Self::Choice(parts) => block(out, "X", &parts.iter().collect::<Vec<_>>()),
            Self::Parallel(parts) => block(out, "+", &parts.iter().collect::<Vec<_>>()),
            Self::Loop(body, redo) => block(out, "*", &[body, redo]),
        }
    }
}

impl FromStr for ProcessTree {
    type Err = Error;

    /// Reads what is written by `Display`. A loop may have several ways back.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut reader = Reader { rest: text };
        let tree = reader.tree(0)?;
        if reader.next().is_empty() {
            Ok(tree)
        } else {
            Err(reader.wrong("the end"))
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> &'t str {
        self.rest = self.rest.trim_start();
        self.rest
    }

    fn takes(&mut self, sign: &str) -> bool {
        let rest = self.next().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn wrong(&self, wanted: &str) -> Error {
        let there: String = self.rest.chars().take(20).collect();
        let message = format!("this is no process tree: {wanted} should be where {there:?} is");
        Error::new(ErrorKind::Invalid, message)
    }

    fn tree(&mut self, depth: usize) -> Result<ProcessTree, Error> {
        if DEPTH_MAX < depth {
            let message = format!("a process tree is nested {DEPTH_MAX} deep at most");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if self.takes("tau") {
            return Ok(ProcessTree::Silent);
        }
        if self.takes("'") {
            return self.name().map(ProcessTree::Activity);
        }
        for (sign, kind) in [("->", '>'), ("X", 'X'), ("+", '+'), ("*", '*')] {
            if !self.takes(sign) {
                continue;
            }
            let mut parts = self.parts(depth)?;
            return Ok(match kind {
                '>' => ProcessTree::Sequence(parts),
                'X' => ProcessTree::Choice(parts),
                '+' => ProcessTree::Parallel(parts),
                _ => {
                    let body = Box::new(parts.remove(0));
                    ProcessTree::Loop(body, Box::new(ProcessTree::Choice(parts).simplified()))
                }
            });
        }
        Err(self.wrong("a name in quotes, tau, or a block"))
    }

    fn parts(&mut self, depth: usize) -> Result<Vec<ProcessTree>, Error> {
        if !self.takes("(") {
            return Err(self.wrong("("));
        }
        let mut parts = vec![self.tree(depth + 1)?];
        while self.takes(",") {
            parts.push(self.tree(depth + 1)?);
        }
        if self.takes(")") {
            Ok(parts)
        } else {
            Err(self.wrong(") or a comma"))
        }
    }

    /// The rest of a name behind its first quote.
    fn name(&mut self) -> Result<String, Error> {
        let mut name = String::new();
        loop {
            let Some((part, rest)) = self.rest.split_once('\'') else {
                return Err(self.wrong("a quote"));
            };
            name.push_str(part);
            self.rest = rest;
            match rest.strip_prefix('\'') {
                Some(rest) => {
                    name.push('\'');
                    self.rest = rest;
                }
                None => return Ok(name),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessTree;

    #[test]
    fn trees_are_the_same_after_writing_and_reading() {
        for text in [
            "tau",
            "'it''s'",
            "->( 'a', X( 'b', tau ), +( 'c', 'd' ), *( 'e', tau ) )",
        ] {
            let tree: ProcessTree = text.parse().unwrap();
            assert_eq!(tree.to_string(), text);
        }
        for text in [
            "", "a", "'a", "->", "->( 'a'", "->( )", "tau tau", "'a' 'b'",
        ] {
            assert!(text.parse::<ProcessTree>().is_err(), "{text}");
        }
        assert!("->( ".repeat(1000).parse::<ProcessTree>().is_err());
    }
}
