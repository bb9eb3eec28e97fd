//! The process map: activities as boxes, what follows as arrows, as SVG.

use std::fmt::Write;

use super::directly_follows::{DirectlyFollows, EdgeTime};
use super::event_log::EventLog;
use super::human::duration;
use super::layout::{Layout, LayoutInput};
use crate::num::float;

const BOX_HEIGHT: f64 = 46.0;
const LETTER_WIDTH: f64 = 7.0;
const LABEL_CHARS_MAX: usize = 40;
const MARGIN: f64 = 24.0;
const DOT: f64 = 18.0;

/// What a process map shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapOptions {
    /// Which part of all transitions the arrows cover at least, the most frequent ones
    /// first, from 0 to 1. Each activity keeps its most frequent arrow in and out.
    pub coverage: f64,
    /// How many activities are shown at most, the most frequent ones.
    pub activities_max: usize,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self {
            coverage: 0.9,
            activities_max: 200,
        }
    }
}

/// An arrow between boxes; box 0 is the start, box 1 the end.
struct Arrow {
    source: usize,
    target: usize,
    count: u64,
    label: String,
}

/// Draws the process map of a log, with how often and how long in the median.
#[must_use]
pub fn process_map(log: &EventLog, graph: &DirectlyFollows, options: MapOptions) -> String {
    let mut shown: Vec<u32> = (0..).take(graph.activities.len()).collect();
    shown.sort_by_key(|&it| std::cmp::Reverse(graph.activities[it as usize]));
    shown.truncate(options.activities_max);
    let mut place = vec![None; graph.activities.len()];
    for (at, &activity) in shown.iter().enumerate() {
        place[activity as usize] = Some(at + 2);
    }
    let arrows = kept(arrows(log, graph, &place), options.coverage);
    let text = |activity: u32| label(log.activities.name(activity));
    let mut nodes = vec![(DOT, DOT), (DOT, DOT)];
    nodes.extend(shown.iter().map(|&activity| {
        let letters = text(activity).chars().count().max(6);
        (float(letters as u64) * LETTER_WIDTH + 24.0, BOX_HEIGHT)
    }));
    let input = LayoutInput {
        nodes,
        edges: arrows
            .iter()
            .map(|arrow| (arrow.source, arrow.target))
            .collect(),
        node_gap: 36.0,
        layer_gap: 54.0,
    };
    let layout = Layout::of(&input);
    let mut svg = Svg::new(&layout);
    let most = arrows.iter().map(|arrow| arrow.count).max().unwrap_or(1);
    for (arrow, points) in arrows.iter().zip(&layout.edges) {
        svg.arrow(arrow, points, &input, float(arrow.count) / float(most));
    }
    let most = graph.activities.iter().max().copied().unwrap_or(1);
    for (at, &activity) in shown.iter().enumerate() {
        let count = graph.activities[activity as usize];
        let size = (layout.nodes[at + 2], input.nodes[at + 2]);
        svg.activity(size, &text(activity), count, float(count) / float(most));
    }
    svg.dot(layout.nodes[0], "#2e7d32");
    svg.dot(layout.nodes[1], "#b71c1c");
    svg.finish()
}

fn label(name: &str) -> String {
    let mut label: String = name.chars().take(LABEL_CHARS_MAX).collect();
    if label.len() < name.len() {
        label.push('…');
    }
    label
}

fn arrows(log: &EventLog, graph: &DirectlyFollows, place: &[Option<usize>]) -> Vec<Arrow> {
    let time = if log.has_starts() {
        EdgeTime::Waiting
    } else {
        EdgeTime::EndToEnd
    };
    let times = graph.times(log, time, None);
    let mut arrows = Vec::new();
    for (edge, times) in graph.edges.iter().zip(times) {
        let ends = (place[edge.source as usize], place[edge.target as usize]);
        if let (Some(source), Some(target)) = ends {
            arrows.push(Arrow {
                source,
                target,
                count: edge.count,
                label: format!("{} · {}", edge.count, duration(times.median)),
            });
        }
    }
    for (activity, &at) in place.iter().enumerate() {
        let Some(at) = at else { continue };
        let ends = [
            (0, at, graph.starts[activity]),
            (at, 1, graph.ends[activity]),
        ];
        for (source, target, count) in ends.into_iter().filter(|it| 0 < it.2) {
            arrows.push(Arrow {
                source,
                target,
                count,
                label: count.to_string(),
            });
        }
    }
    arrows.sort_by_key(|arrow| std::cmp::Reverse(arrow.count));
    arrows
}

/// The most frequent arrows, and the most frequent one into and out of each box.
fn kept(arrows: Vec<Arrow>, coverage: f64) -> Vec<Arrow> {
    let total: u64 = arrows.iter().map(|arrow| arrow.count).sum();
    let wanted = float(total) * coverage;
    let boxes = arrows.iter().map(|it| it.source.max(it.target) + 1).max();
    let mut has_out = vec![false; boxes.unwrap_or(0)];
    let mut has_in = has_out.clone();
    let mut covered = 0;
    let keep = |arrow: &Arrow| {
        let (source, target) = (arrow.source, arrow.target);
        let joins = source != target && (!has_out[source] || !has_in[target]);
        let keep = joins || float(covered) < wanted;
        if source != target {
            has_out[source] = true;
            has_in[target] = true;
        }
        covered += arrow.count;
        keep
    };
    arrows.into_iter().filter(keep).collect()
}

/// Writing to a text cannot fail.
struct Svg(String);

impl Svg {
    fn new(layout: &Layout) -> Self {
        let (width, height) = (
            layout.width + 2.0 * MARGIN + 60.0,
            layout.height + 2.0 * MARGIN,
        );
        let mut svg = Self(String::new());
        svg.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"system-ui, sans-serif\" \
             font-size=\"12\" role=\"img\">\n<title>Process map</title>\n\
             <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
             markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
             <path d=\"M0 0L8 4L0 8Z\" fill=\"#546e7a\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        ));
        svg
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        let _written = self.0.write_fmt(text);
    }

    fn arrow(&mut self, arrow: &Arrow, points: &[(f64, f64)], input: &LayoutInput, part: f64) {
        let shift = |&(x, y): &(f64, f64)| (x + MARGIN, y + MARGIN);
        let points: Vec<(f64, f64)> = points.iter().map(shift).collect();
        let (first, last) = (points[0], points[points.len() - 1]);
        let width = 1.0 + 4.0 * part.sqrt();
        let (path, at) = if arrow.source == arrow.target {
            let (half, _) = input.nodes[arrow.source];
            let x = first.0 + half / 2.0;
            let (top, bottom) = (first.1 - 10.0, first.1 + 10.0);
            let out = x + 34.0;
            let path = format!(
                "M{x:.1} {top:.1}C{out:.1} {top:.1} {out:.1} {bottom:.1} {x:.1} {bottom:.1}"
            );
            (path, (x + 30.0, first.1))
        } else {
            let down = first.1 <= last.1;
            let side = |node: usize| input.nodes[node].1 / 2.0 * if down { 1.0 } else { -1.0 };
            let mut points = points;
            let end = points.len() - 1;
            points[0].1 += side(arrow.source);
            points[end].1 -= side(arrow.target);
            (curve(&points), middle(&points))
        };
        self.add(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"#78909c\" stroke-width=\"{width:.1}\" \
             stroke-opacity=\"0.75\" marker-end=\"url(#tip)\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#37474f\" font-size=\"10\" stroke=\"#fff\" \
             stroke-width=\"3\" paint-order=\"stroke\">{}</text>\n",
            at.0 + 4.0,
            at.1,
            escaped(&arrow.label)
        ));
    }

    fn activity(
        &mut self,
        ((x, y), (width, height)): ((f64, f64), (f64, f64)),
        name: &str,
        count: u64,
        part: f64,
    ) {
        let (x, y) = (x + MARGIN, y + MARGIN);
        // From pale to full blue: what is frequent stands out.
        let shade = 96.0 - 26.0 * part.sqrt();
        self.add(format_args!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\" \
             fill=\"hsl(205 75% {shade:.0}%)\" stroke=\"#33658a\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#102a43\">{}</text>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#102a43\" \
             font-size=\"10\">{count}</text>\n",
            x - width / 2.0,
            y - height / 2.0,
            y - 3.0,
            escaped(name),
            y + 13.0
        ));
    }

    fn dot(&mut self, (x, y): (f64, f64), colour: &str) {
        let (x, y) = (x + MARGIN, y + MARGIN);
        self.add(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{:.1}\" fill=\"{colour}\"/>\n",
            DOT / 2.0
        ));
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// A path that passes the points in soft bends, each piece upright at its ends.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = format!("M{:.1} {:.1}", points[0].0, points[0].1);
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let half = f64::midpoint(y0, y1);
        let _written = write!(path, "C{x0:.1} {half:.1} {x1:.1} {half:.1} {x1:.1} {y1:.1}");
    }
    path
}

fn middle(points: &[(f64, f64)]) -> (f64, f64) {
    let at = (points.len() - 1) / 2;
    let (left, right) = (points[at], points[(at + 1).min(points.len() - 1)]);
    (
        f64::midpoint(left.0, right.0),
        f64::midpoint(left.1, right.1),
    )
}

fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    let _written = super::write::escape(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
