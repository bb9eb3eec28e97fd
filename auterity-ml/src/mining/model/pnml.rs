//! PNML (ISO/IEC 15909-2): Petri nets as XML, as process mining tools exchange them.

use std::io::{self, BufWriter, Read, Write};

use hashbrown::HashMap;

use super::petri::{PetriNet, Transition, number};
use crate::mining::read::{Limits, TagKind, Tags, Window, unescape};
use crate::mining::write::escape;
use crate::{Error, ErrorKind};

/// A net may have this many places, transitions and arcs together.
const PARTS_MAX: usize = 1_000_000;
const WEIGHT_MAX: u32 = 100;

impl PetriNet {
    /// Writes the net as PNML, with its final marking.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_pnml(&self, out: impl Write) -> io::Result<()> {
        let mut out = BufWriter::new(out);
        out.write_all(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<pnml>\n\
              <net id=\"net\" type=\"http://www.pnml.org/version-2009/grammar/pnmlcoremodel\">\n\
              <page id=\"page\">\n",
        )?;
        for place in 0..self.places {
            let tokens = self.initial.iter().filter(|it| **it == place).count();
            write!(out, "<place id=\"p{place}\">")?;
            if 0 < tokens {
                write!(
                    out,
                    "<initialMarking><text>{tokens}</text></initialMarking>"
                )?;
            }
            out.write_all(b"</place>\n")?;
        }
        for (at, transition) in self.transitions.iter().enumerate() {
            write!(out, "<transition id=\"t{at}\"><name><text>")?;
            match transition.label {
                None => write!(out, "tau {at}</text></name>{SILENT}")?,
                Some(label) => {
                    escape(self.labels.name(label), &mut out)?;
                    out.write_all(b"</text></name>")?;
                }
            }
            out.write_all(b"</transition>\n")?;
        }
        let mut arcs = 0;
        for (at, transition) in self.transitions.iter().enumerate() {
            for (places, into) in [(&transition.inputs, true), (&transition.outputs, false)] {
                for place in places {
                    let (place, transition) = (format!("p{place}"), format!("t{at}"));
                    let (source, target) = if into {
                        (place, transition)
                    } else {
                        (transition, place)
                    };
                    writeln!(
                        out,
                        "<arc id=\"a{arcs}\" source=\"{source}\" target=\"{target}\"/>"
                    )?;
                    arcs += 1;
                }
            }
        }
        out.write_all(b"</page>\n<finalmarkings>\n<marking>\n")?;
        for place in 0..self.places {
            let tokens = self.last.iter().filter(|it| **it == place).count();
            if 0 < tokens {
                writeln!(
                    out,
                    "<place idref=\"p{place}\"><text>{tokens}</text></place>"
                )?;
            }
        }
        out.write_all(b"</marking>\n</finalmarkings>\n</net>\n</pnml>\n")?;
        out.flush()
    }

    /// Reads a net of PNML. A transition is silent if its tool-specific part says
    /// `$invisible$`, or if it has no name. Without a final marking, the places without a
    /// way out are it.
    ///
    /// # Errors
    /// `Unreadable` if it is no well-formed PNML, or if arcs lead nowhere, the net has no
    /// initial or final marking, or a transition is not connected; `Limit` if it is too
    /// large.
    pub fn read_pnml(source: impl Read) -> Result<Self, Error> {
        let limits = Limits {
            bytes_max: 64 << 20,
            ..Limits::default()
        };
        let mut window = Window::open(source, &limits)?;
        window.decode(None)?;
        let mut reader = Reader {
            tags: Tags::keeping_text(&mut window, &limits),
            parts: Parts::default(),
        };
        reader.read()?;
        let net = reader.parts.net();
        net.and_then(PetriNet::checked).map_err(|why| {
            let message = format!("this net cannot be used: {why}");
            Error::new(ErrorKind::Unreadable, message)
        })
    }
}

const SILENT: &str = "<toolspecific tool=\"ProM\" version=\"6.4\" activity=\"$invisible$\"/>";

#[derive(Default)]
struct Parts {
    places: HashMap<String, u32>,
    /// Tokens by place.
    initial: Vec<u32>,
    transitions: HashMap<String, usize>,
    names: Vec<Option<String>>,
    arcs: Vec<(String, String, u32)>,
    last: Vec<(String, u32)>,
}

/// Texts by the names of their parts.
type Texts = Vec<(Vec<u8>, String)>;

struct Reader<'w, 'a> {
    tags: Tags<'w, 'a>,
    parts: Parts,
}

impl Reader<'_, '_> {
    fn read(&mut self) -> Result<(), Error> {
        let mut in_final = false;
        while let Some(kind) = self.tags.next()? {
            match (kind, self.tags.name()) {
                (kind, b"finalmarkings") => in_final = kind == TagKind::Open,
                (TagKind::Close, _) => {}
                (_, b"place") if in_final => self.last(kind)?,
                (_, b"place") => self.place(kind)?,
                (_, b"transition") => self.transition(kind)?,
                (_, b"arc") => self.arc(kind)?,
                _ => {}
            }
            let parts = self.parts.names.len() + self.parts.arcs.len() + self.parts.initial.len();
            if PARTS_MAX < parts {
                let message = format!("the net has more than {PARTS_MAX} parts");
                return Err(Error::new(ErrorKind::Limit, message));
            }
        }
        Ok(())
    }

    fn id(&mut self, name: &[u8]) -> Result<String, Error> {
        let mut text = Vec::new();
        let resolved = match self.tags.attribute(name) {
            Some(value) => unescape(value, &mut text),
            None => Err("an element has no id"),
        };
        match resolved {
            Ok(()) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(what) => Err(self.tags.wrong(what)),
        }
    }

    /// The texts of the parts of an element by their names, and whether it is invisible.
    fn texts(&mut self, kind: TagKind) -> Result<(Texts, bool), Error> {
        let mut texts = Vec::new();
        let mut invisible = false;
        if kind != TagKind::Open {
            return Ok((texts, invisible));
        }
        let outside = self.tags.depth() - 1;
        let mut part = Vec::new();
        while let Some(kind) = self.tags.next()? {
            if kind == TagKind::Close {
                if self.tags.name() == b"text" {
                    let mut text = Vec::new();
                    if let Err(what) = unescape(self.tags.text(), &mut text) {
                        return Err(self.tags.wrong(what));
                    }
                    let text = String::from_utf8_lossy(&text).trim().to_owned();
                    texts.push((part.clone(), text));
                }
                if self.tags.depth() == outside {
                    break;
                }
                continue;
            }
            match self.tags.name() {
                b"text" => {}
                b"toolspecific" => {
                    invisible |= self.tags.attribute(b"activity") == Some(b"$invisible$");
                }
                name => part = name.to_vec(),
            }
        }
        Ok((texts, invisible))
    }

    fn place(&mut self, kind: TagKind) -> Result<(), Error> {
        let id = self.id(b"id")?;
        let (texts, _) = self.texts(kind)?;
        let tokens = texts.iter().find(|(part, _)| part == b"initialMarking");
        let tokens = tokens.map_or(Some(0), |(_, text)| text.parse().ok());
        let Some(tokens) = tokens.filter(|&tokens| tokens <= WEIGHT_MAX) else {
            return Err(self.tags.wrong("an initial marking is no small number"));
        };
        let place = number(self.parts.initial.len());
        self.parts.places.insert(id, place);
        self.parts.initial.push(tokens);
        Ok(())
    }

    fn transition(&mut self, kind: TagKind) -> Result<(), Error> {
        let id = self.id(b"id")?;
        let (texts, invisible) = self.texts(kind)?;
        let name = texts.into_iter().find(|(part, _)| part == b"name");
        let name = name
            .map(|(_, text)| text)
            .filter(|text| !invisible && !text.is_empty());
        self.parts.transitions.insert(id, self.parts.names.len());
        self.parts.names.push(name);
        Ok(())
    }

    fn arc(&mut self, kind: TagKind) -> Result<(), Error> {
        let (source, target) = (self.id(b"source")?, self.id(b"target")?);
        let (texts, _) = self.texts(kind)?;
        let weight = texts.iter().find(|(part, _)| part == b"inscription");
        let weight = weight.map_or(Some(1), |(_, text)| text.parse().ok());
        let Some(weight) = weight.filter(|weight| (1..=WEIGHT_MAX).contains(weight)) else {
            return Err(self.tags.wrong("the weight of an arc is no small number"));
        };
        self.parts.arcs.push((source, target, weight));
        Ok(())
    }

    fn last(&mut self, kind: TagKind) -> Result<(), Error> {
        let id = self.id(b"idref")?;
        let (texts, _) = self.texts(kind)?;
        let tokens = texts.first().and_then(|(_, text)| text.parse().ok());
        self.parts
            .last
            .push((id, tokens.unwrap_or(1).min(WEIGHT_MAX)));
        Ok(())
    }
}

impl Parts {
    fn net(self) -> Result<PetriNet, String> {
        let mut net = PetriNet {
            places: number(self.initial.len()),
            ..PetriNet::default()
        };
        for name in &self.names {
            let label = name.as_ref().map(|name| net.labels.intern(name.as_bytes()));
            net.transitions.push(Transition {
                label: label.and_then(Result::ok),
                inputs: Vec::new(),
                outputs: Vec::new(),
            });
        }
        for (source, target, weight) in &self.arcs {
            let into = self.places.get(source).zip(self.transitions.get(target));
            let out = self.transitions.get(source).zip(self.places.get(target));
            for _ in 0..*weight {
                match (into, out) {
                    (Some((place, at)), _) => net.transitions[*at].inputs.push(*place),
                    (_, Some((at, place))) => net.transitions[*at].outputs.push(*place),
                    _ => return Err(format!("an arc from {source} to {target} connects nothing")),
                }
            }
        }
        for (place, &tokens) in self.initial.iter().enumerate() {
            net.initial.extend((0..tokens).map(|_| number(place)));
        }
        for (id, tokens) in &self.last {
            let place = self
                .places
                .get(id)
                .ok_or_else(|| format!("no place is called {id}"))?;
            net.last.extend((0..*tokens).map(|_| *place));
        }
        if net.last.is_empty() {
            let mut leads_on = vec![false; self.initial.len()];
            for place in net.transitions.iter().flat_map(|it| &it.inputs) {
                leads_on[*place as usize] = true;
            }
            net.last = (0..net.places)
                .filter(|&it| !leads_on[it as usize])
                .collect();
        }
        Ok(net)
    }
}
