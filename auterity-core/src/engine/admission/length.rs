//! How long a queue is, as far as a process can know without counting at each start.
//!
//! What this process lets in it counts itself, so by itself it never lets in too many.
//! What others let in it sees only when it counts in the store. It does so once a
//! second, and whenever it has let in an eighth of the room that it saw last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// How long a count is believed.
const BELIEVED: SignedDuration = SignedDuration::from_secs(1);

/// The part of the room that is given away before the next count: one in so many, and
/// at least so many starts.
const PART: u64 = 8;
const PART_MIN: u64 = 16;

/// What a process knows about one queue.
#[derive(Debug, Default)]
pub(super) struct Length {
    /// Starts that this process let in, ever.
    entered: u64,
    /// Those of them that may not be in the store yet.
    committing: Arc<AtomicU64>,
    counted: Option<Counted>,
}

/// What the last count gave.
#[derive(Debug)]
struct Counted {
    at: Timestamp,
    /// What `entered` is when the next count is due.
    until: u64,
    full: bool,
}

/// What is to be done about a start.
#[derive(Debug)]
pub(super) enum Answer {
    /// It may enter.
    Enter(Entered),
    /// As many wait as may.
    Full,
    /// The queue is to be counted; the count goes to [`Length::counted`].
    Count(Counting),
}

/// What was so when a count began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counting {
    entered: u64,
    committing: u64,
}

/// A start that was let in; dropped once it is in the store or has failed.
#[derive(Debug)]
pub(super) struct Entered(Arc<AtomicU64>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Length {
    /// Decides about a start, or asks for a count.
    pub(super) fn ask(&mut self, now: Timestamp) -> Answer {
        let fresh = |one: &&Counted| now.duration_since(one.at) < BELIEVED;
        match self.counted.as_ref().filter(fresh) {
            Some(Counted { full: true, .. }) => Answer::Full,
            Some(counted) if self.entered < counted.until => self.enter(),
            _ => Answer::Count(Counting {
                entered: self.entered,
                committing: self.committing.load(Ordering::Relaxed),
            }),
        }
    }

    /// Decides about a start after a count of the store, at most `most`.
    pub(super) fn counted(
        &mut self,
        begun: Counting,
        (length, most): (u32, u32),
        now: Timestamp,
    ) -> Answer {
        // Of what was being committed the count may have seen some: better twice than not.
        let since = self.entered - begun.entered;
        let used = u64::from(length) + begun.committing + since;
        let room = u64::from(most).saturating_sub(used);
        self.counted = Some(Counted {
            at: now,
            until: self.entered + room.min((room / PART).max(PART_MIN)),
            full: room == 0,
        });
        if room == 0 {
            Answer::Full
        } else {
            self.enter()
        }
    }

    /// Forgets the last count.
    pub(super) fn forget(&mut self) {
        self.counted = None;
    }

    /// Tells whether something that was let in may not be in the store yet.
    pub(super) fn is_busy(&self) -> bool {
        self.committing.load(Ordering::Relaxed) != 0
    }

    fn enter(&mut self) -> Answer {
        self.entered += 1;
        self.committing.fetch_add(1, Ordering::Relaxed);
        Answer::Enter(Entered(Arc::clone(&self.committing)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A store, and processes of which each has starts under way.
    struct World {
        stored: u32,
        processes: Vec<(Length, Vec<Entered>)>,
        now: i64,
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Start(usize),
        Commit(usize),
        End(u32),
        Pass(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (0..4_usize).prop_map(Step::Start),
            3 => (0..4_usize).prop_map(Step::Commit),
            1 => (1..4_u32).prop_map(Step::End),
            1 => (1..700_i64).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 1..400)
    }

    impl World {
        fn new(processes: usize) -> Self {
            Self {
                stored: 0,
                processes: (0..processes).map(|_| Default::default()).collect(),
                now: 0,
            }
        }

        /// Gives how many wait or are about to.
        fn length(&self) -> usize {
            let under_way = self.processes.iter().map(|(_, started)| started.len());
            self.stored as usize + under_way.sum::<usize>()
        }

        fn step(&mut self, step: Step, most: u32) {
            let now = Timestamp::from_millisecond(self.now).unwrap();
            let count = self.processes.len();
            match step {
                Step::Start(process) => {
                    let stored = self.stored.min(most);
                    let (length, started) = &mut self.processes[process % count];
                    let answer = match length.ask(now) {
                        Answer::Count(begun) => length.counted(begun, (stored, most), now),
                        answer => answer,
                    };
                    if let Answer::Enter(entered) = answer {
                        started.push(entered);
                    }
                }
                Step::Commit(process) => {
                    let (_, started) = &mut self.processes[process % count];
                    self.stored += u32::try_from(started.len()).unwrap();
                    started.clear();
                }
                Step::End(ended) => self.stored = self.stored.saturating_sub(ended),
                Step::Pass(millis) => self.now += millis,
            }
        }
    }

    proptest! {
        #[test]
        fn one_process_lets_in_none_too_many(steps in steps(), most in 1..200_u32) {
            let mut world = World::new(1);
            for step in steps {
                world.step(step, most);
                prop_assert!(world.length() <= most as usize);
            }
        }

        /// Each further process may add its part of the room, and what it was committing
        /// while others counted.
        #[test]
        fn several_processes_let_in_few_too_many(steps in steps(), most in 1..200_u32) {
            let mut world = World::new(4);
            for step in steps {
                let commits = matches!(step, Step::Start(_));
                let process = if let Step::Start(process) = step { process } else { 0 };
                world.step(step, most);
                if commits {
                    world.step(Step::Commit(process), most);
                }
                let part = (most as usize / 8).max(16);
                prop_assert!(world.length() <= most as usize + 3 * part, "{}", world.length());
            }
        }
    }

    #[test]
    fn a_full_queue_is_counted_once_a_second() {
        let mut length = Length::default();
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let Answer::Count(begun) = length.ask(at(0)) else {
            panic!("nothing is known yet");
        };
        assert!(matches!(length.counted(begun, (5, 5), at(0)), Answer::Full));
        assert!(matches!(length.ask(at(999)), Answer::Full));
        assert!(matches!(length.ask(at(1_000)), Answer::Count(_)));
    }
}
