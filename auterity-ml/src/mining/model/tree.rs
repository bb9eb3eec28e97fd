//! Process trees: block-structured models.

/// A block-structured model of a process, which is sound by construction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProcessTree {
    /// Nothing happens.
    Silent,
    /// An activity.
    Activity(String),
    /// One after the other.
    Sequence(Vec<ProcessTree>),
    /// One of them.
    Choice(Vec<ProcessTree>),
    /// All of them, in any order and interleaved.
    Parallel(Vec<ProcessTree>),
    /// The first, then any number of times the second and the first again.
    Loop(Box<ProcessTree>, Box<ProcessTree>),
}

impl ProcessTree {
    /// Gives the same model in its simplest form: no blocks of one, no block directly
    /// within one of its kind, nothing silent that changes nothing.
    #[must_use]
    pub fn simplified(self) -> Self {
        match self {
            Self::Silent | Self::Activity(_) => self,
            Self::Sequence(parts) => {
                let mut parts = flat(parts, |part| match part {
                    Self::Sequence(parts) => Ok(parts),
                    other => Err(other),
                });
                parts.retain(|part| *part != Self::Silent);
                single(parts, Self::Sequence)
            }
            Self::Parallel(parts) => {
                let mut parts = flat(parts, |part| match part {
                    Self::Parallel(parts) => Ok(parts),
                    other => Err(other),
                });
                parts.retain(|part| *part != Self::Silent);
                single(parts, Self::Parallel)
            }
            Self::Choice(parts) => {
                let mut parts = flat(parts, |part| match part {
                    Self::Choice(parts) => Ok(parts),
                    other => Err(other),
                });
                let may_skip = parts.contains(&Self::Silent);
                parts.retain(|part| *part != Self::Silent);
                // What may be empty by itself needs no way around it.
                if may_skip && !parts.iter().any(Self::may_be_empty) {
                    parts.push(Self::Silent);
                }
                single(parts, Self::Choice)
            }
            Self::Loop(body, redo) => match (body.simplified(), redo.simplified()) {
                (Self::Silent, Self::Silent) => Self::Silent,
                // A loop that repeats without anything between repeats as often as its
                // body does.
                (Self::Loop(body, inner), Self::Silent) if *inner == Self::Silent => {
                    Self::Loop(body, inner)
                }
                (body, redo) => Self::Loop(Box::new(body), Box::new(redo)),
            },
        }
    }

    /// Tells whether the model allows that nothing happens.
    #[must_use]
    pub fn may_be_empty(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Activity(_) => false,
            Self::Sequence(parts) | Self::Parallel(parts) => parts.iter().all(Self::may_be_empty),
            Self::Choice(parts) => parts.iter().any(Self::may_be_empty),
            Self::Loop(body, _) => body.may_be_empty(),
        }
    }

    /// Gives the same model with the parts of choices and parallel blocks sorted, by which
    /// models can be compared.
    #[must_use]
    pub fn canonical(self) -> Self {
        let sorted = |parts: Vec<Self>| {
            let mut parts: Vec<Self> = parts.into_iter().map(Self::canonical).collect();
            parts.sort_unstable();
            parts
        };
        match self.simplified() {
            Self::Choice(parts) => Self::Choice(sorted(parts)),
            Self::Parallel(parts) => Self::Parallel(sorted(parts)),
            Self::Sequence(parts) => {
                Self::Sequence(parts.into_iter().map(Self::canonical).collect())
            }
            Self::Loop(body, redo) => {
                Self::Loop(Box::new(body.canonical()), Box::new(redo.canonical()))
            }
            leaf => leaf,
        }
    }
}

/// The parts, each simplified, and those of the same kind taken apart.
fn flat(
    parts: Vec<ProcessTree>,
    apart: impl Fn(ProcessTree) -> Result<Vec<ProcessTree>, ProcessTree>,
) -> Vec<ProcessTree> {
    let mut flat = Vec::new();
    for part in parts {
        match apart(part.simplified()) {
            Ok(parts) => flat.extend(parts),
            Err(part) => flat.push(part),
        }
    }
    flat
}

fn single(
    mut parts: Vec<ProcessTree>,
    block: impl Fn(Vec<ProcessTree>) -> ProcessTree,
) -> ProcessTree {
    match parts.len() {
        0 => ProcessTree::Silent,
        1 => parts.remove(0),
        _ => block(parts),
    }
}
