//! The tags of an XML document, one after the other.
//!
//! Of XML this reads what data needs: elements and attributes. Texts between tags,
//! comments and processing instructions are passed over. Entities that a document
//! declares are refused, so that no text can grow while it is read.

use super::Limits;
use super::window::Window;
use crate::{Error, ErrorKind};

const ATTRIBUTES_MAX: usize = 64;

/// What a tag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TagKind {
    Open,
    Close,
    /// Opens and closes at once.
    Empty,
}

/// An attribute, as places in the tag.
type Place = (usize, usize);

/// Walks over the tags of a document.
pub(crate) struct Tags<'w, 'a> {
    window: &'w mut Window<'a>,
    /// The length of the present tag.
    length: usize,
    name: Place,
    attributes: Vec<(Place, Place)>,
    /// The names of the open elements, one behind the other, and where each begins.
    open: Vec<u8>,
    begins: Vec<usize>,
    depth_max: usize,
    any: bool,
    /// What stands between the tag before and the present one, if it is wanted.
    text: Option<Vec<u8>>,
}

enum Parsed {
    /// What is there is not all of it.
    Cut,
    /// Something without meaning here, of that length.
    Other(usize),
    Tag(TagKind, Place, usize),
    Wrong(&'static str),
}

impl<'w, 'a> Tags<'w, 'a> {
    pub(crate) fn new(window: &'w mut Window<'a>, limits: &Limits) -> Self {
        Self {
            window,
            length: 0,
            name: (0, 0),
            attributes: Vec::new(),
            open: Vec::new(),
            begins: Vec::new(),
            depth_max: limits.depth_max,
            any: false,
            text: None,
        }
    }

    /// Walks over the tags and keeps the texts between them.
    pub(crate) fn keeping_text(window: &'w mut Window<'a>, limits: &Limits) -> Self {
        Self {
            text: Some(Vec::new()),
            ..Self::new(window, limits)
        }
    }

    /// What stands between the tag before and the present one, as it is written.
    pub(crate) fn text(&self) -> &[u8] {
        self.text.as_deref().unwrap_or_default()
    }

    /// Goes to the next tag.
    ///
    /// # Errors
    /// `Unreadable` if the document is not well-formed or ends within an element; `Limit`
    /// if elements are nested too deeply.
    pub(crate) fn next(&mut self) -> Result<Option<TagKind>, Error> {
        self.window.advance(self.length);
        self.length = 0;
        if let Some(text) = &mut self.text {
            text.clear();
        }
        loop {
            let Some(at) = memchr::memchr(b'<', self.window.data()) else {
                self.pass(self.window.data().len());
                if self.window.fill()? {
                    continue;
                }
                return self.end();
            };
            self.pass(at);
            match parse(self.window.data(), &mut self.attributes) {
                Parsed::Cut => {
                    if !self.window.fill()? {
                        return Err(self.wrong("the document ends in the middle of a tag"));
                    }
                }
                Parsed::Other(length) => self.window.advance(length),
                Parsed::Wrong(what) => return Err(self.wrong(what)),
                Parsed::Tag(kind, name, length) => {
                    self.length = length;
                    self.name = name;
                    self.track(kind)?;
                    return Ok(Some(kind));
                }
            }
        }
    }

    fn pass(&mut self, length: usize) {
        if let Some(text) = &mut self.text {
            text.extend_from_slice(&self.window.data()[..length]);
        }
        self.window.advance(length);
    }

    /// The name of the present element, without a prefix.
    pub(crate) fn name(&self) -> &[u8] {
        local(&self.window.data()[self.name.0..self.name.1])
    }

    /// The value of an attribute as it is written, with its entities.
    pub(crate) fn attribute(&self, name: &[u8]) -> Option<&[u8]> {
        let data = self.window.data();
        let mut all = self.attributes.iter();
        let (_, value) = all.find(|((from, to), _)| &data[*from..*to] == name)?;
        Some(&data[value.0..value.1])
    }

    /// The number of elements that are open, the present one included unless it closes.
    pub(crate) fn depth(&self) -> usize {
        self.begins.len()
    }

    pub(crate) fn line(&mut self) -> u64 {
        self.window.line()
    }

    pub(crate) fn wrong(&mut self, what: &str) -> Error {
        let message = format!("{what}: this is no well-formed XML");
        Error::new(ErrorKind::Unreadable, message).at_line(self.window.line())
    }

    fn end(&mut self) -> Result<Option<TagKind>, Error> {
        match (self.begins.last(), self.any) {
            (None, true) => Ok(None),
            (None, false) => Err(self.wrong("there is no element")),
            (Some(&begin), _) => {
                let name = String::from_utf8_lossy(&self.open[begin..]).into_owned();
                let message = format!("the document is cut off: the element {name} is not closed");
                Err(Error::new(ErrorKind::Unreadable, message).at_line(self.window.line()))
            }
        }
    }

    /// Keeps account of the open elements.
    fn track(&mut self, kind: TagKind) -> Result<(), Error> {
        self.any = true;
        let name = &self.window.data()[self.name.0..self.name.1];
        match kind {
            TagKind::Empty => {}
            TagKind::Open => {
                if self.depth_max <= self.begins.len() {
                    let message =
                        format!("elements are nested deeper than {} levels", self.depth_max);
                    return Err(Error::new(ErrorKind::Limit, message).at_line(self.window.line()));
                }
                self.begins.push(self.open.len());
                self.open.extend_from_slice(name);
            }
            TagKind::Close => {
                let begin = self.begins.pop();
                if begin.is_none_or(|begin| &self.open[begin..] != name) {
                    let name = String::from_utf8_lossy(name).into_owned();
                    return Err(self.wrong(&format!("{name} is closed and not open")));
                }
                self.open.truncate(begin.unwrap_or(0));
            }
        }
        Ok(())
    }
}

fn local(name: &[u8]) -> &[u8] {
    match memchr::memchr(b':', name) {
        Some(at) => &name[at + 1..],
        None => name,
    }
}

/// Parses what begins with `<`.
fn parse(data: &[u8], attributes: &mut Vec<(Place, Place)>) -> Parsed {
    match data.get(1) {
        None => Parsed::Cut,
        Some(b'?') => until(data, b"?>"),
        Some(b'!') => declaration(data),
        Some(b'/') => match memchr::memchr(b'>', data) {
            None => Parsed::Cut,
            Some(end) => {
                let length = data[2..end].trim_ascii_end().len();
                Parsed::Tag(TagKind::Close, (2, 2 + length), end + 1)
            }
        },
        Some(_) => element(data, attributes).unwrap_or(Parsed::Cut),
    }
}

fn until(data: &[u8], end: &[u8]) -> Parsed {
    match memchr::memmem::find(data, end) {
        Some(at) => Parsed::Other(at + end.len()),
        None => Parsed::Cut,
    }
}

fn declaration(data: &[u8]) -> Parsed {
    const CDATA: &[u8] = b"<![CDATA[";
    if data.len() < CDATA.len() {
        return Parsed::Cut;
    }
    if data.starts_with(b"<!--") {
        return match memchr::memmem::find(&data[4..], b"-->") {
            Some(at) => Parsed::Other(at + 7),
            None => Parsed::Cut,
        };
    }
    if data.starts_with(CDATA) {
        return until(data, b"]]>");
    }
    match memchr::memchr2(b'[', b'>', data) {
        None => Parsed::Cut,
        Some(at) if data[at] == b'>' => Parsed::Other(at + 1),
        Some(_) => Parsed::Wrong("a document type with declarations is refused"),
    }
}

/// Parses an opening or empty tag; nothing if it is cut off.
fn element(data: &[u8], attributes: &mut Vec<(Place, Place)>) -> Option<Parsed> {
    attributes.clear();
    let mut at = 1;
    while !matches!(
        data.get(at)?,
        b' ' | b'\n' | b'\r' | b'\t' | b'/' | b'>' | b'=' | b'<'
    ) {
        at += 1;
    }
    if at == 1 {
        return Some(Parsed::Wrong("an element has no name"));
    }
    let name = (1, at);
    loop {
        at = spaces(data, at)?;
        match data[at] {
            b'>' => return Some(Parsed::Tag(TagKind::Open, name, at + 1)),
            b'/' if *data.get(at + 1)? == b'>' => {
                return Some(Parsed::Tag(TagKind::Empty, name, at + 2));
            }
            _ => {}
        }
        let key = at;
        while !matches!(
            data.get(at)?,
            b'=' | b' ' | b'\n' | b'\r' | b'\t' | b'>' | b'<' | b'"'
        ) {
            at += 1;
        }
        let key = (key, at);
        at = spaces(data, at)?;
        if data[at] != b'=' || key.0 == key.1 {
            return Some(Parsed::Wrong("an attribute has no value"));
        }
        at = spaces(data, at + 1)?;
        let quote = data[at];
        if !matches!(quote, b'"' | b'\'') {
            return Some(Parsed::Wrong("the value of an attribute has no quotes"));
        }
        let value = at + 1;
        at = value + memchr::memchr(quote, &data[value..])?;
        if ATTRIBUTES_MAX <= attributes.len() {
            return Some(Parsed::Wrong("an element has more than 64 attributes"));
        }
        attributes.push((key, (value, at)));
        at += 1;
    }
}

fn spaces(data: &[u8], mut at: usize) -> Option<usize> {
    while matches!(data.get(at)?, b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    Some(at)
}

/// Appends a value with its entities resolved. Only the five of XML and numbers are known.
pub(crate) fn unescape(value: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(&rest[..at]);
        let end = memchr::memchr(b';', &rest[at..]).ok_or("an entity is not closed")?;
        let entity = &rest[at + 1..at + end];
        let character = match entity {
            b"amp" => '&',
            b"lt" => '<',
            b"gt" => '>',
            b"quot" => '"',
            b"apos" => '\'',
            [b'#', number @ ..] => numbered(number).ok_or("an entity is no character")?,
            _ => return Err("an entity is used that XML itself does not define"),
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + end + 1..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

fn numbered(number: &[u8]) -> Option<char> {
    let number = std::str::from_utf8(number).ok()?;
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}
