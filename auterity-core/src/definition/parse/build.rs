//! From the parser's events to the tree, within limits.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span as EventSpan, Tag};

use super::node::{Entry, Node, NodeValue};
use super::scalar::{self, Refusal};
use super::source::{Source, Span};
use super::surrogates::Joined;
use crate::definition::limits::Limits;
use crate::definition::mistake::{Mistake, pointer_push};

/// Reads the text into a tree; gives what could be read, and all mistakes.
pub(crate) fn build(
    text: &str,
    source: &Source<'_>,
    limits: &Limits,
) -> (Option<Node>, Vec<Mistake>) {
    let joined = Joined::new(text);
    let mut builder = Builder {
        source,
        limits,
        joined: &joined,
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        documents: 0,
        mistakes: Vec::new(),
    };
    let complete = builder.read(&joined.text);
    let root = builder.root.take().filter(|_| complete);
    if root.is_none() && builder.mistakes.is_empty() {
        let span = Span { start: 0, end: 0 };
        let message = "the text is empty".to_owned();
        let hint = "a definition starts with `document:`";
        builder.report("empty_document", span, message, hint);
    }
    (root, builder.mistakes)
}

struct Builder<'s> {
    source: &'s Source<'s>,
    limits: &'s Limits,
    joined: &'s Joined<'s>,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
    mistakes: Vec<Mistake>,
}

/// What an anchor stands for, with its size.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// A list or an object that is still open.
struct Frame {
    anchor: usize,
    start: usize,
    /// How many nodes there were before it.
    nodes_before: usize,
    /// How deep its deepest member is, itself included.
    depth: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object {
        entries: Vec<Entry>,
        keys: HashSet<String>,
        key: Option<(String, Span)>,
    },
}

/// The tree cannot be completed; the mistake is reported already.
struct Stop;

impl Builder<'_> {
    /// Gives true when the whole text was read.
    fn read(&mut self, text: &str) -> bool {
        let mut parser = Parser::new_from_str(text);
        while let Some(next) = parser.next_event() {
            let result = match next {
                Ok((event, span)) => self.event(event, span),
                Err(error) => {
                    let at = self.joined.original(error.marker().index());
                    let span = Span { start: at, end: at };
                    let message = format!("not valid YAML or JSON: {}", error.info());
                    let hint = if error.info().starts_with("mapping values are not allowed") {
                        "put a text that has a colon in quotes, and check the indentation"
                    } else {
                        "check indentation, quotes and brackets"
                    };
                    self.report("syntax", span, message, hint);
                    Err(Stop)
                }
            };
            if result.is_err() {
                return false;
            }
        }
        true
    }

    fn event(&mut self, event: Event<'_>, span: EventSpan) -> Result<(), Stop> {
        let span = Span {
            start: self.joined.original(span.start.index()),
            end: self.joined.original(span.end.index()),
        };
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => self.scalar(
                &text,
                style == ScalarStyle::Plain,
                anchor,
                tag.as_deref(),
                span,
            ),
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span);
                self.open(anchor, span, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span);
                let content = Content::Object {
                    entries: Vec::new(),
                    keys: HashSet::new(),
                    key: None,
                };
                self.open(anchor, span, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let message = "a second document starts here".to_owned();
        self.report(
            "several_documents",
            span,
            message,
            "put each definition in its own file",
        );
        Err(Stop)
    }

    fn scalar(
        &mut self,
        text: &str,
        plain: bool,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Stop> {
        self.count(1, span)?;
        let expects_key = self.expects_key();
        let value = match tag {
            None if expects_key && (!plain || !text.is_empty()) => {
                Ok(NodeValue::Text(text.to_owned()))
            }
            None if plain => scalar::plain(text),
            None => Ok(NodeValue::Text(text.to_owned())),
            Some(tag) if tag.is_yaml_core_schema() => scalar::tagged(text, &tag.suffix),
            Some(tag) if is_unspecific(tag) => Ok(NodeValue::Text(text.to_owned())),
            Some(tag) => Err(scalar::unknown_tag(&tag.to_string())),
        };
        let value = value.unwrap_or_else(|refusal| {
            self.refuse(refusal, span);
            NodeValue::Text(text.to_owned())
        });
        if expects_key && plain && text == "<<" {
            let message = "merge keys (<<) are no part of YAML 1.2".to_owned();
            let hint = "write the properties out, or use an alias for the whole value";
            self.report("merge_key", span, message, hint);
        }
        // An absent value has no place of its own; the key is what a person sees.
        let span = match self.waiting_key() {
            Some(key_span) if span.start == span.end => key_span,
            _ => span,
        };
        let node = Node { value, span };
        self.remember(anchor, &node, 1, 1);
        self.attach(node, 1)
    }

    fn open(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), Stop> {
        if self.limits.depth_max <= self.stack.len() {
            return self.too_deep(span);
        }
        let nodes_before = self.nodes;
        self.count(1, span)?;
        if self.expects_key() {
            return self.bad_key(span);
        }
        self.stack.push(Frame {
            anchor,
            start: span.start,
            nodes_before,
            depth: 1,
            content,
        });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let nodes = self.nodes - frame.nodes_before;
        let (value, last) = match frame.content {
            Content::List(items) => {
                let last = items.last().map(|item| item.span.end);
                (NodeValue::List(items), last)
            }
            Content::Object { entries, .. } => {
                let last = entries.last().map(|entry| entry.node.span.end);
                (NodeValue::Object(entries), last)
            }
        };
        // The end of a block is where the next token starts; that is not its own.
        let end = match last {
            Some(last) if span.start == span.end => last,
            // The event of a closing bracket also covers the blanks behind it.
            _ => span.end.min(span.start + 1),
        };
        let node = Node {
            value,
            span: Span {
                start: frame.start,
                end: end.max(frame.start),
            },
        };
        self.remember(frame.anchor, &node, nodes, frame.depth);
        self.attach(node, frame.depth)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            let message = "the alias stands inside of what it stands for".to_owned();
            self.report("recursive_alias", span, message, "write the value out");
            return Err(Stop);
        };
        let (nodes, depth) = (anchored.nodes, anchored.depth);
        self.count(nodes, span)?;
        if self.limits.depth_max < self.stack.len() + depth {
            return self.too_deep(span);
        }
        match self.anchors.get(&anchor) {
            Some(anchored) => {
                let node = anchored.node.clone();
                self.attach(node, depth)
            }
            None => Ok(()),
        }
    }

    fn key_too_long(&mut self, span: Span) -> Result<(), Stop> {
        let message = format!("the key has more than {} bytes", self.limits.key_bytes_max);
        let hint = "use a shorter name (limit key_bytes_max)";
        self.report("key_too_long", span, message, hint);
        Err(Stop)
    }

    /// Puts a finished node into the innermost open list or object.
    fn attach(&mut self, node: Node, depth: usize) -> Result<(), Stop> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.depth = frame.depth.max(depth + 1);
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Object { entries, keys, key } => match key.take() {
                Some((key, key_span)) => {
                    if keys.insert(key.clone()) {
                        entries.push(Entry {
                            key,
                            key_span,
                            node,
                        });
                    } else {
                        self.duplicate(&key, key_span);
                    }
                }
                None => match node.value {
                    NodeValue::Text(text) if self.limits.key_bytes_max < text.len() => {
                        return self.key_too_long(node.span);
                    }
                    NodeValue::Text(text) => *key = Some((text, node.span)),
                    _ => return self.bad_key(node.span),
                },
            },
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, node: &Node, nodes: usize, depth: usize) {
        if anchor == 0 {
            return;
        }
        // The copy that is kept counts as well, or nested anchors would multiply.
        self.nodes += nodes;
        let node = node.clone();
        self.anchors.insert(anchor, Anchored { node, nodes, depth });
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= self.limits.nodes_max {
            return Ok(());
        }
        let message = format!(
            "the definition has more than {} values",
            self.limits.nodes_max
        );
        let hint = "use fewer aliases, or split the workflow (limit nodes_max)";
        self.report("too_many_values", span, message, hint);
        Err(Stop)
    }

    fn too_deep(&mut self, span: Span) -> Result<(), Stop> {
        let message = format!("nested deeper than {} levels", self.limits.depth_max);
        let hint = "split the workflow into several, or use functions (limit depth_max)";
        self.report("nested_too_deeply", span, message, hint);
        Err(Stop)
    }

    fn bad_key(&mut self, span: Span) -> Result<(), Stop> {
        let message = "a key must be a text".to_owned();
        self.report(
            "bad_key",
            span,
            message,
            "if it is a text, put it in quotes",
        );
        Err(Stop)
    }

    fn duplicate(&mut self, key: &str, key_span: Span) {
        if self.limits.mistakes_max <= self.mistakes.len() {
            return;
        }
        let mut first = String::new();
        if let Some(Content::Object { entries, .. }) = self.stack.last().map(|frame| &frame.content)
            && let Some(entry) = entries.iter().find(|entry| entry.key == key)
        {
            let line = self.source.position(entry.key_span.start).line;
            first = format!("; the first one is on line {line}");
        }
        let message = format!("the key \"{key}\" is there twice{first}");
        let (start, end) = self.source.positions(key_span);
        let mut pointer = self.pointer();
        pointer_push(&mut pointer, key);
        self.mistakes.push(Mistake {
            code: "duplicate_key",
            pointer,
            message,
            hint: Some("remove or rename one of them".to_owned()),
            start,
            end,
        });
    }

    /// Tells whether the innermost open thing is an object that takes a key next.
    fn expects_key(&self) -> bool {
        let content = self.stack.last().map(|frame| &frame.content);
        matches!(content, Some(Content::Object { key: None, .. }))
    }

    /// Gives the place of the key whose value comes next.
    fn waiting_key(&self) -> Option<Span> {
        match &self.stack.last()?.content {
            Content::Object {
                key: Some((_, span)),
                ..
            } => Some(*span),
            _ => None,
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        match tag {
            None => {}
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == expected => {}
            Some(tag) if is_unspecific(tag) => {}
            Some(tag) => self.refuse(scalar::unknown_tag(&tag.to_string()), span),
        }
    }

    fn refuse(&mut self, refusal: Refusal, span: Span) {
        self.report(refusal.code, span, refusal.message, refusal.hint);
    }

    fn report(&mut self, code: &'static str, span: Span, message: String, hint: &str) {
        if self.limits.mistakes_max <= self.mistakes.len() {
            return;
        }
        let (start, end) = self.source.positions(span);
        self.mistakes.push(Mistake {
            code,
            pointer: self.pointer(),
            message,
            hint: Some(hint.to_owned()),
            start,
            end,
        });
    }

    /// Gives the pointer of the value that is read now.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for frame in &self.stack {
            match &frame.content {
                Content::List(items) => pointer_push(&mut pointer, &items.len().to_string()),
                Content::Object {
                    key: Some((key, _)),
                    ..
                } => pointer_push(&mut pointer, key),
                Content::Object { key: None, .. } => {}
            }
        }
        pointer
    }
}

/// Tells whether the tag is a lone `!`, which makes a scalar a text.
fn is_unspecific(tag: &Tag) -> bool {
    matches!(
        (tag.handle.as_str(), tag.suffix.as_str()),
        ("!", "") | ("", "!")
    )
}
