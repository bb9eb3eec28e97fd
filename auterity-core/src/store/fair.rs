//! Whose turn it is: start-time fair queueing between tenants.
//!
//! A tenant with something ready has a lane, and a lane has the virtual time of its
//! next turn. The lane whose turn is first is served; its next turn is then later by
//! [`TURN`] divided by the tenant's weight. Only turns are kept, none per execution: so
//! what is taken out of the queue costs its tenant nothing, a new weight counts at
//! once, and within a tenant any order may decide.
//!
//! A lane joins at the first turn of all: before nobody, behind nobody. A lane that
//! has nothing ready when its turn comes is closed. All other turns are later by then,
//! so nobody gains by going away; one that comes back before its turn keeps it, so
//! nobody loses.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::TenantId;

/// The virtual time of one turn at weight 1.
pub(crate) const TURN: i64 = 1_000_000;

/// The weight of a tenant about which nothing is said.
pub(crate) const WEIGHT_DEFAULT: u32 = 100;

/// Gives the virtual time that one turn costs.
pub(crate) fn cost(weight: u32) -> i64 {
    (TURN / i64::from(weight.max(1))).max(1)
}

/// A tenant that may have something ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) tenant: TenantId,
    /// When it is next served.
    pub(crate) turn: i64,
    /// What being served costs.
    pub(crate) cost: i64,
}

/// One claim: shares out room in rounds until it is filled or every lane is dry. The
/// caller learns only by taking whether a lane has enough for its share.
#[derive(Debug)]
pub(crate) struct Rounds {
    lanes: Vec<Lane>,
    dry: Vec<TenantId>,
    room: usize,
}

impl Rounds {
    pub(crate) fn new(lanes: Vec<Lane>, room: usize) -> Self {
        let dry = Vec::new();
        Self { lanes, dry, room }
    }

    /// Gives how much of the room each lane may fill as if all had enough; nothing
    /// once the claim is over.
    pub(crate) fn shares(&self) -> Vec<(TenantId, usize)> {
        let turns = self.lanes.iter().enumerate();
        let mut next: BinaryHeap<_> = turns
            .map(|(place, lane)| Reverse((lane.turn, lane.tenant, place)))
            .collect();
        let mut shares = vec![0; self.lanes.len()];
        for _ in 0..self.room {
            let Some(Reverse((turn, tenant, place))) = next.pop() else {
                break;
            };
            shares[place] += 1;
            next.push(Reverse((turn + self.lanes[place].cost, tenant, place)));
        }
        let mut given: Vec<(&Lane, usize)> = self.lanes.iter().zip(shares).collect();
        given.retain(|(_, share)| *share != 0);
        given.sort_by_key(|(lane, _)| (lane.turn, lane.tenant));
        given
            .into_iter()
            .map(|(lane, share)| (lane.tenant, share))
            .collect()
    }

    /// Says how much was taken of a share.
    pub(crate) fn took(&mut self, tenant: TenantId, share: usize, taken: usize) {
        debug_assert!(taken <= share, "a lane gives no more than its share");
        self.room = self.room.saturating_sub(taken);
        for lane in &mut self.lanes {
            if lane.tenant == tenant {
                let turns = i64::try_from(taken).unwrap_or(i64::MAX);
                lane.turn = lane.turn.saturating_add(lane.cost.saturating_mul(turns));
            }
        }
        if taken < share {
            self.dry.push(tenant);
            self.lanes.retain(|lane| lane.tenant != tenant);
        }
    }

    /// Gives the room that is left, the lanes with their new turns, and the dry ones.
    pub(crate) fn end(self) -> (usize, Vec<Lane>, Vec<TenantId>) {
        (self.room, self.lanes, self.dry)
    }
}

/// A whole fair queue in memory. Within a tenant the smallest `K` comes first.
#[derive(Debug)]
pub(crate) struct FairQueue<K> {
    lanes: BTreeMap<TenantId, Ready<K>>,
    weights: BTreeMap<TenantId, u32>,
}

#[derive(Debug)]
struct Ready<K> {
    turn: i64,
    items: BTreeSet<K>,
}

impl<K> Default for FairQueue<K> {
    fn default() -> Self {
        Self {
            lanes: BTreeMap::new(),
            weights: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> FairQueue<K> {
    /// Sets the weight of a tenant from now on.
    pub(crate) fn weigh(&mut self, tenant: TenantId, weight: u32) {
        self.weights.insert(tenant, weight);
    }

    /// Adds something that is ready.
    pub(crate) fn push(&mut self, tenant: TenantId, item: K) {
        let first = self.lanes.values().map(|lane| lane.turn).min();
        let lane = self.lanes.entry(tenant).or_insert_with(|| Ready {
            turn: first.unwrap_or(0),
            items: BTreeSet::new(),
        });
        lane.items.insert(item);
    }

    /// Takes something out that was not served.
    pub(crate) fn remove(&mut self, tenant: TenantId, item: &K) {
        if let Some(lane) = self.lanes.get_mut(&tenant) {
            lane.items.remove(item);
        }
    }

    /// Serves as much as there is room for, in the order of turns.
    pub(crate) fn claim(&mut self, room: usize) -> Vec<K> {
        let lanes = self.lanes.iter().map(|(tenant, lane)| Lane {
            tenant: *tenant,
            turn: lane.turn,
            cost: cost(*self.weights.get(tenant).unwrap_or(&WEIGHT_DEFAULT)),
        });
        let mut rounds = Rounds::new(lanes.collect(), room);
        let mut served = Vec::new();
        loop {
            let shares = rounds.shares();
            if shares.is_empty() {
                break;
            }
            for (tenant, share) in shares {
                let items = self.lanes.get_mut(&tenant).map(|lane| &mut lane.items);
                let mut taken = 0;
                if let Some(items) = items {
                    while taken < share
                        && let Some(item) = items.pop_first()
                    {
                        served.push(item);
                        taken += 1;
                    }
                }
                rounds.took(tenant, share, taken);
            }
        }
        let (_, lanes, dry) = rounds.end();
        for lane in lanes {
            if let Some(kept) = self.lanes.get_mut(&lane.tenant) {
                kept.turn = lane.turn;
            }
        }
        for tenant in dry {
            self.lanes.remove(&tenant);
        }
        served
    }

    /// Gives the lanes that hold something, in the order of their turns.
    pub(crate) fn lanes(&self) -> Vec<(TenantId, &BTreeSet<K>)> {
        let lanes = self.lanes.iter().filter(|(_, lane)| !lane.items.is_empty());
        let mut lanes: Vec<_> = lanes.collect();
        lanes.sort_by_key(|(tenant, lane)| (lane.turn, **tenant));
        let whole = lanes.into_iter();
        whole.map(|(tenant, lane)| (*tenant, &lane.items)).collect()
    }

    /// Gives how many of a tenant's there are.
    pub(crate) fn length(&self, tenant: TenantId) -> usize {
        self.lanes.get(&tenant).map_or(0, |lane| lane.items.len())
    }

    /// Gives how many of a tenant's come before this one.
    pub(crate) fn ahead(&self, tenant: TenantId, item: &K) -> usize {
        let lane = self.lanes.get(&tenant);
        lane.map_or(0, |lane| lane.items.range(..item.clone()).count())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    /// Items name their tenant, so that what was served says whose it was.
    type Queue = FairQueue<(u128, u32)>;

    fn fill(queue: &mut Queue, number: u128, count: u32) {
        for item in 0..count {
            queue.push(tenant(number), (number, item));
        }
    }

    fn counts(served: &[(u128, u32)]) -> BTreeMap<u128, u32> {
        let mut counts = BTreeMap::new();
        for (number, _) in served {
            *counts.entry(*number).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn one_of_a_small_tenant_passes_a_hundred_thousand() {
        let mut queue = Queue::default();
        fill(&mut queue, 1, 100_000);
        queue.claim(128);
        queue.push(tenant(2), (2, 0));
        let served = queue.claim(2);
        assert!(served.contains(&(2, 0)), "{served:?}");
    }

    #[test]
    fn weights_share_one_to_ten() {
        let mut queue = Queue::default();
        queue.weigh(tenant(1), 10);
        queue.weigh(tenant(2), 100);
        fill(&mut queue, 1, 1_000);
        fill(&mut queue, 2, 1_000);
        let served = counts(&queue.claim(110));
        assert_eq!((Some(&10), Some(&100)), (served.get(&1), served.get(&2)));
    }

    #[test]
    fn whoever_asks_again_and_again_for_one_gets_no_more_than_its_share() {
        let mut queue = Queue::default();
        fill(&mut queue, 1, 1_000);
        queue.push(tenant(2), (2, 0));
        let mut small = 0;
        for _ in 0..100 {
            for (number, item) in queue.claim(1) {
                if number == 2 {
                    small += 1;
                    queue.push(tenant(2), (2, item + 1));
                }
            }
        }
        assert_eq!(50, small);
    }

    #[test]
    fn what_is_taken_out_costs_its_tenant_nothing() {
        let mut queue = Queue::default();
        fill(&mut queue, 1, 10);
        fill(&mut queue, 2, 10_000);
        for item in 0..9_990 {
            queue.remove(tenant(2), &(2, item));
        }
        let served = counts(&queue.claim(10));
        assert_eq!((Some(&5), Some(&5)), (served.get(&1), served.get(&2)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u128, u32),
        Remove(u128),
        Claim(usize),
        Weigh(u128, u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..5_u128, 1..20_u32).prop_map(|(number, count)| Step::Push(number, count)),
            1 => (0..5_u128).prop_map(Step::Remove),
            3 => (1..30_usize).prop_map(Step::Claim),
            1 => (0..5_u128, 1..=1_000_u32).prop_map(|(number, weight)| Step::Weigh(number, weight)),
        ];
        prop::collection::vec(step, 1..60)
    }

    /// What a tenant got since it began to have something ready without a pause.
    fn restart(since: &mut BTreeMap<(u128, u128), (i64, i64)>, number: u128) {
        since.retain(|(one, other), _| *one != number && *other != number);
    }

    proptest! {
        /// While two tenants both have something ready, neither gets ahead of the
        /// other by more than one turn of each, whatever others do meanwhile.
        #[test]
        fn nobody_gets_ahead(steps in steps()) {
            let mut queue = Queue::default();
            let mut waiting: BTreeMap<u128, BTreeSet<u32>> = BTreeMap::new();
            let mut weights: BTreeMap<u128, u32> = BTreeMap::new();
            // The dearest turn that a tenant ever had: it may still be paying for it.
            let mut dearest: BTreeMap<u128, i64> = BTreeMap::new();
            // What each of two got, in virtual time, since both have something ready.
            let mut since: BTreeMap<(u128, u128), (i64, i64)> = BTreeMap::new();
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Push(number, count) => {
                        for _ in 0..count {
                            next += 1;
                            queue.push(tenant(number), (number, next));
                            waiting.entry(number).or_default().insert(next);
                        }
                    }
                    Step::Remove(number) => {
                        let first = waiting.get_mut(&number).and_then(BTreeSet::pop_last);
                        if let Some(item) = first {
                            queue.remove(tenant(number), &(number, item));
                        }
                        if waiting.get(&number).is_none_or(BTreeSet::is_empty) {
                            restart(&mut since, number);
                        }
                    }
                    Step::Weigh(number, weight) => {
                        queue.weigh(tenant(number), weight);
                        let paying = dearest.entry(number).or_insert_with(|| cost(WEIGHT_DEFAULT));
                        *paying = (*paying).max(cost(weight));
                        weights.insert(number, weight);
                        restart(&mut since, number);
                    }
                    Step::Claim(room) => for _ in 0..room {
                        let ready: Vec<u128> = waiting
                            .iter()
                            .filter(|(_, items)| !items.is_empty())
                            .map(|(number, _)| *number)
                            .collect();
                        let served = queue.claim(1);
                        prop_assert_eq!(ready.is_empty(), served.is_empty());
                        let Some((number, item)) = served.first().copied() else { break };
                        prop_assert!(waiting.get_mut(&number).is_some_and(|items| items.remove(&item)));
                        let of = |one: &u128| cost(*weights.get(one).unwrap_or(&WEIGHT_DEFAULT));
                        let most = |one: &u128| dearest.get(one).copied().unwrap_or_else(|| of(one));
                        for one in &ready {
                            for other in ready.iter().filter(|other| one < *other) {
                                let got = since.entry((*one, *other)).or_default();
                                got.0 += if *one == number { of(one) } else { 0 };
                                got.1 += if *other == number { of(other) } else { 0 };
                                let apart = (got.0 - got.1).abs();
                                prop_assert!(apart <= most(one) + most(other), "{one} {other} {got:?}");
                            }
                        }
                        if waiting.get(&number).is_none_or(BTreeSet::is_empty) {
                            restart(&mut since, number);
                        }
                    },
                }
            }
        }

        /// Many at once are shared out as one after the other would be.
        #[test]
        fn a_large_claim_is_many_small_ones(
            counts_of in prop::collection::vec((0..40_u32, 1..=1_000_u32), 1..6),
            room in 1..100_usize,
        ) {
            let mut queues = [Queue::default(), Queue::default()];
            for queue in &mut queues {
                for ((count, weight), number) in counts_of.iter().zip(0..) {
                    queue.weigh(tenant(number), *weight);
                    fill(queue, number, *count);
                }
            }
            let [large, small] = &mut queues;
            let at_once = counts(&large.claim(room));
            let one_by_one: Vec<_> = (0..room).flat_map(|_| small.claim(1)).collect();
            prop_assert_eq!(at_once, counts(&one_by_one));
        }

        /// The smallest of a tenant comes first.
        #[test]
        fn within_a_tenant_the_order_is_kept(items in prop::collection::btree_set(0..1_000_u32, 1..50)) {
            let mut queue = Queue::default();
            for item in items.iter().rev() {
                queue.push(tenant(1), (1, *item));
            }
            let served: Vec<u32> = queue.claim(100).into_iter().map(|(_, item)| item).collect();
            prop_assert_eq!(items.into_iter().collect::<Vec<_>>(), served);
        }
    }
}
