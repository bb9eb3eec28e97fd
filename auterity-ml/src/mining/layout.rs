//! Layered layout of directed graphs: where a process map's boxes and arrows go.
//!
//! After Sugiyama: edges that go back are turned, nodes are put into layers by longest
//! path, long edges get a bend in each layer that they cross, layers are ordered by
//! medians, and then each node moves towards its neighbours. The result depends on the
//! graph and the order of its nodes and edges alone.

use crate::num::{float, u32_of};

/// Further edges go straight through the layers that they cross.
const BENDS_MAX: usize = 200_000;
const ORDER_SWEEPS: usize = 8;
const PLACE_SWEEPS: usize = 8;

/// A graph to lay out.
#[derive(Debug, Clone, Default)]
pub struct LayoutInput {
    /// Width and height of each node.
    pub nodes: Vec<(f64, f64)>,
    /// From which node to which. Where a cycle has to be cut, earlier edges go forward.
    pub edges: Vec<(usize, usize)>,
    /// The space between neighbours in a layer.
    pub node_gap: f64,
    /// The space between layers.
    pub layer_gap: f64,
}

/// Where nodes and edges go.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// The middle of each node.
    pub nodes: Vec<(f64, f64)>,
    /// The points of each edge, from its source to its target.
    pub edges: Vec<Vec<(f64, f64)>>,
    /// The width of all.
    pub width: f64,
    /// The height of all.
    pub height: f64,
}

impl Layout {
    /// Lays out a graph, from top to bottom.
    #[must_use]
    pub fn of(input: &LayoutInput) -> Self {
        if input.nodes.is_empty() {
            return Self::default();
        }
        let turned = back_edges(input);
        let layers = layers(input, &turned);
        let mut grid = Grid::of(input, &turned, &layers);
        grid.order();
        let x = grid.place(input.node_gap);
        grid.finish(input, &turned, &x)
    }
}

/// Which edges go back, as a search in depth finds them. Self-loops do not count.
fn back_edges(input: &LayoutInput) -> Vec<bool> {
    let mut out = vec![Vec::new(); input.nodes.len()];
    let mut has_before = vec![false; input.nodes.len()];
    for (edge, &(source, target)) in input.edges.iter().enumerate() {
        if source != target {
            out[source].push((edge, target));
            has_before[target] = true;
        }
    }
    let mut turned = vec![false; input.edges.len()];
    // New, on the way, done.
    let mut state = vec![0_u8; input.nodes.len()];
    let all = 0..input.nodes.len();
    let roots = all.clone().filter(|&node| !has_before[node]).chain(all);
    for root in roots {
        if state[root] != 0 {
            continue;
        }
        state[root] = 1;
        let mut stack = vec![(root, 0)];
        while let Some((node, next)) = stack.last_mut() {
            let Some(&(edge, target)) = out[*node].get(*next) else {
                state[*node] = 2;
                stack.pop();
                continue;
            };
            *next += 1;
            match state[target] {
                0 => {
                    state[target] = 1;
                    stack.push((target, 0));
                }
                1 => turned[edge] = true,
                _ => {}
            }
        }
    }
    turned
}

/// The ends of an edge in the direction in which it is laid out.
fn forward(edge: (usize, usize), turned: bool) -> (usize, usize) {
    if turned { (edge.1, edge.0) } else { edge }
}

/// The layer of each node: one more than that of the last one before it.
fn layers(input: &LayoutInput, turned: &[bool]) -> Vec<usize> {
    let mut out = vec![Vec::new(); input.nodes.len()];
    let mut missing = vec![0_usize; input.nodes.len()];
    for (&edge, &turned) in input.edges.iter().zip(turned) {
        let (source, target) = forward(edge, turned);
        if source != target {
            out[source].push(target);
            missing[target] += 1;
        }
    }
    let mut layers = vec![0; input.nodes.len()];
    let mut ready: Vec<usize> = (0..missing.len()).filter(|&it| missing[it] == 0).collect();
    while let Some(node) = ready.pop() {
        for &target in &out[node] {
            layers[target] = layers[target].max(layers[node] + 1);
            missing[target] -= 1;
            if missing[target] == 0 {
                ready.push(target);
            }
        }
    }
    layers
}

/// Nodes and bends in layers.
struct Grid {
    /// The members of each layer, from left to right.
    layers: Vec<Vec<u32>>,
    /// The neighbours of each member in the layer above and below.
    above: Vec<Vec<u32>>,
    below: Vec<Vec<u32>>,
    width: Vec<f64>,
    /// The place of each member in its layer.
    place: Vec<u32>,
    /// The bends of each edge.
    bends: Vec<Vec<u32>>,
    layer_of: Vec<usize>,
}

impl Grid {
    fn of(input: &LayoutInput, turned: &[bool], layer_of: &[usize]) -> Self {
        let count = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut grid = Self {
            layers: vec![Vec::new(); count],
            above: Vec::new(),
            below: Vec::new(),
            width: Vec::new(),
            place: Vec::new(),
            bends: vec![Vec::new(); input.edges.len()],
            layer_of: Vec::new(),
        };
        for (node, &(width, _)) in input.nodes.iter().enumerate() {
            grid.add(layer_of[node], width);
        }
        for (edge, &ends) in input.edges.iter().enumerate() {
            let (source, target) = forward(ends, turned[edge]);
            if source == target {
                continue;
            }
            let mut before = u32_of(source);
            let crossed = layer_of[source] + 1..layer_of[target];
            if grid.width.len() + crossed.len() <= input.nodes.len() + BENDS_MAX {
                for layer in crossed {
                    let bend = grid.add(layer, 0.0);
                    grid.bends[edge].push(bend);
                    grid.connect(before, bend);
                    before = bend;
                }
            }
            grid.connect(before, u32_of(target));
        }
        grid
    }

    fn add(&mut self, layer: usize, width: f64) -> u32 {
        let member = u32_of(self.width.len());
        self.place.push(u32_of(self.layers[layer].len()));
        self.layers[layer].push(member);
        self.layer_of.push(layer);
        self.width.push(width);
        self.above.push(Vec::new());
        self.below.push(Vec::new());
        member
    }

    fn connect(&mut self, upper: u32, lower: u32) {
        self.below[upper as usize].push(lower);
        self.above[lower as usize].push(upper);
    }

    /// Orders the members of each layer by the medians of their neighbours.
    fn order(&mut self) {
        for sweep in 0..ORDER_SWEEPS {
            let down = sweep % 2 == 0;
            let count = self.layers.len();
            for step in 0..count {
                let layer = if down { step } else { count - 1 - step };
                self.order_layer(layer, down);
            }
        }
    }

    fn order_layer(&mut self, layer: usize, down: bool) {
        let neighbours = if down { &self.above } else { &self.below };
        let mut keyed: Vec<(u64, u32, u32)> = Vec::with_capacity(self.layers[layer].len());
        let mut places = Vec::new();
        for &member in &self.layers[layer] {
            places.clear();
            let near = neighbours[member as usize].iter();
            places.extend(near.map(|&other| self.place[other as usize]));
            places.sort_unstable();
            let own = self.place[member as usize];
            // Twice the median, so that it is whole. Without neighbours a member stays.
            let median = match places.len() {
                0 => u64::from(own) * 2,
                count => u64::from(places[(count - 1) / 2]) + u64::from(places[count / 2]),
            };
            keyed.push((median, own, member));
        }
        keyed.sort_unstable();
        let members = &mut self.layers[layer];
        members.clear();
        for (place, (_, _, member)) in keyed.into_iter().enumerate() {
            self.place[member as usize] = u32_of(place);
            members.push(member);
        }
    }

    /// The distance between the middles of two neighbours in a layer.
    fn distance(&self, left: u32, right: u32, gap: f64) -> f64 {
        let widths = self.width[left as usize] + self.width[right as usize];
        // Bends may lie closer together than boxes.
        let gap = if self.width[left as usize] == 0.0 || self.width[right as usize] == 0.0 {
            gap / 2.0
        } else {
            gap
        };
        widths / 2.0 + gap
    }

    /// The middle of each member from left to right.
    fn place(&self, gap: f64) -> Vec<f64> {
        let mut x = vec![0.0; self.width.len()];
        for layer in &self.layers {
            for pair in layer.windows(2) {
                x[pair[1] as usize] = x[pair[0] as usize] + self.distance(pair[0], pair[1], gap);
            }
            let half = layer.last().map_or(0.0, |&last| x[last as usize] / 2.0);
            for &member in layer {
                x[member as usize] -= half;
            }
        }
        for sweep in 0..PLACE_SWEEPS {
            let down = sweep % 2 == 0;
            let count = self.layers.len();
            for step in 0..count {
                let layer = if down { step } else { count - 1 - step };
                let neighbours = if down { &self.above } else { &self.below };
                self.pull(layer, neighbours, gap, &mut x);
            }
        }
        x
    }

    /// Moves the members of a layer towards their neighbours as far as their order allows.
    fn pull(&self, layer: usize, neighbours: &[Vec<u32>], gap: f64, x: &mut [f64]) {
        let members = &self.layers[layer];
        let wanted: Vec<f64> = members
            .iter()
            .map(|&member| {
                let near = &neighbours[member as usize];
                if near.is_empty() {
                    return x[member as usize];
                }
                let sum: f64 = near.iter().map(|&other| x[other as usize]).sum();
                sum / float(near.len() as u64)
            })
            .collect();
        // As far left as the order allows, and as far right; the middle is fair to all.
        let mut left = wanted.clone();
        for at in 1..members.len() {
            let least = left[at - 1] + self.distance(members[at - 1], members[at], gap);
            left[at] = left[at].max(least);
        }
        let mut right = wanted;
        for at in (1..members.len()).rev() {
            let most = right[at] - self.distance(members[at - 1], members[at], gap);
            right[at - 1] = right[at - 1].min(most);
        }
        for (at, &member) in members.iter().enumerate() {
            x[member as usize] = f64::midpoint(left[at], right[at]);
        }
    }

    fn finish(&self, input: &LayoutInput, turned: &[bool], x: &[f64]) -> Layout {
        let half = |member: usize| self.width[member] / 2.0;
        let sides = |side: f64| (0..x.len()).map(move |it| x[it] + side * half(it));
        let left = sides(-1.0).fold(f64::INFINITY, f64::min);
        let right = sides(1.0).fold(f64::NEG_INFINITY, f64::max);
        let (middles, height) = self.rows(input);
        let point = |member: usize| (x[member] - left, middles[self.layer_of[member]]);
        let edges = input
            .edges
            .iter()
            .enumerate()
            .map(|(edge, &(source, target))| {
                let mut bends: Vec<(f64, f64)> = self.bends[edge]
                    .iter()
                    .map(|&bend| point(bend as usize))
                    .collect();
                if turned[edge] {
                    bends.reverse();
                }
                let mut points = vec![point(source)];
                points.append(&mut bends);
                points.push(point(target));
                points
            });
        Layout {
            nodes: (0..input.nodes.len()).map(point).collect(),
            edges: edges.collect(),
            width: right - left,
            height,
        }
    }

    /// The middle of each layer from top to bottom, and the height of all.
    fn rows(&self, input: &LayoutInput) -> (Vec<f64>, f64) {
        let mut middles = Vec::with_capacity(self.layers.len());
        let mut top = 0.0;
        for layer in &self.layers {
            let nodes = layer
                .iter()
                .filter_map(|&member| input.nodes.get(member as usize));
            let height = nodes.map(|&(_, height)| height).fold(0.0, f64::max);
            middles.push(top + height / 2.0);
            top += height + input.layer_gap;
        }
        (middles, top - input.layer_gap)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "equal computations give equal figures")]
mod tests {
    use super::{Layout, LayoutInput};

    fn input(nodes: usize, edges: Vec<(usize, usize)>) -> LayoutInput {
        LayoutInput {
            nodes: vec![(100.0, 40.0); nodes],
            edges,
            node_gap: 20.0,
            layer_gap: 30.0,
        }
    }

    fn overlaps(layout: &Layout) -> usize {
        let mut nodes = layout.nodes.clone();
        nodes.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.total_cmp(&b.0)));
        let pairs = nodes.windows(2);
        pairs
            .filter(|pair| pair[0].1 == pair[1].1 && pair[1].0 - pair[0].0 < 119.99)
            .count()
    }

    #[test]
    fn what_follows_is_below_and_what_goes_back_is_above() {
        let layout = Layout::of(&input(
            4,
            vec![(0, 1), (1, 2), (2, 1), (0, 3), (3, 2), (1, 1)],
        ));
        let y = |node: usize| layout.nodes[node].1;
        assert!(y(0) < y(1) && y(1) < y(2) && y(0) < y(3));
        assert_eq!(y(1), y(3));
        assert_eq!(overlaps(&layout), 0);
        assert_eq!(layout.edges[2][0], layout.nodes[2]);
        assert_eq!(*layout.edges[2].last().unwrap(), layout.nodes[1]);
        assert_eq!(layout.height, 3.0 * 40.0 + 2.0 * 30.0);
    }

    #[test]
    fn long_edges_bend_in_each_layer() {
        let layout = Layout::of(&input(4, vec![(0, 1), (1, 2), (2, 3), (0, 3)]));
        assert_eq!(layout.edges[3].len(), 4);
    }

    #[test]
    fn deep_wide_and_empty_graphs_are_laid_out() {
        assert_eq!(Layout::of(&input(0, vec![])), Layout::default());
        let chain = Layout::of(&input(
            5000,
            (1..5000).map(|node| (node - 1, node)).collect(),
        ));
        assert!(chain.nodes.iter().all(|node| (node.0 - 50.0).abs() < 1e-6));
        let two = Layout::of(&input(4, vec![(0, 1), (2, 3)]));
        assert_eq!(overlaps(&two), 0);
        let mut state = 1_usize;
        let edges: Vec<(usize, usize)> = (0..30_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                ((state >> 20) % 20_000, (state >> 40) % 20_000)
            })
            .collect();
        let large = input(20_000, edges);
        let layout = Layout::of(&large);
        assert_eq!(overlaps(&layout), 0);
        assert_eq!(layout, Layout::of(&large));
    }
}
