//! BPMN 2.0: process trees as diagrams that other tools open.

use std::io::{self, BufWriter, Write};

use super::tree::ProcessTree;
use crate::mining::layout::{Layout, LayoutInput};
use crate::mining::write::escape;

impl ProcessTree {
    /// Writes the model as BPMN 2.0 XML with a diagram: sequences as flows, choices as
    /// exclusive gateways, parallel blocks as parallel gateways, loops as flows back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_bpmn(&self, out: impl Write) -> io::Result<()> {
        let mut diagram = Diagram::default();
        let start = diagram.node(Shape::Start, "start");
        let last = diagram.add(self, start);
        let end = diagram.node(Shape::End, "end");
        diagram.flows.push((last, end));
        diagram.write(&mut BufWriter::new(out))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Start,
    End,
    Task,
    Exclusive,
    Parallel,
}

impl Shape {
    fn element(self) -> &'static str {
        match self {
            Self::Start => "startEvent",
            Self::End => "endEvent",
            Self::Task => "task",
            Self::Exclusive => "exclusiveGateway",
            Self::Parallel => "parallelGateway",
        }
    }

    fn size(self) -> (f64, f64) {
        match self {
            Self::Start | Self::End => (36.0, 36.0),
            Self::Task => (130.0, 80.0),
            Self::Exclusive | Self::Parallel => (50.0, 50.0),
        }
    }
}

#[derive(Default)]
struct Diagram<'t> {
    nodes: Vec<(Shape, &'t str)>,
    flows: Vec<(usize, usize)>,
}

impl<'t> Diagram<'t> {
    fn node(&mut self, shape: Shape, name: &'t str) -> usize {
        self.nodes.push((shape, name));
        self.nodes.len() - 1
    }

    fn after(&mut self, before: usize, shape: Shape, name: &'t str) -> usize {
        let node = self.node(shape, name);
        self.flows.push((before, node));
        node
    }

    /// Adds a tree behind a node, and gives the node with which it ends.
    fn add(&mut self, tree: &'t ProcessTree, before: usize) -> usize {
        match tree {
            ProcessTree::Silent => before,
            ProcessTree::Activity(name) => self.after(before, Shape::Task, name),
            ProcessTree::Sequence(parts) => parts
                .iter()
                .fold(before, |before, part| self.add(part, before)),
            ProcessTree::Choice(parts) => self.branches(parts, before, Shape::Exclusive),
            ProcessTree::Parallel(parts) => self.branches(parts, before, Shape::Parallel),
            ProcessTree::Loop(body, redo) => {
                let join = self.after(before, Shape::Exclusive, "");
                let last = self.add(body, join);
                let fork = self.after(last, Shape::Exclusive, "");
                let back = self.add(redo, fork);
                self.flows.push((back, join));
                fork
            }
        }
    }

    fn branches(&mut self, parts: &'t [ProcessTree], before: usize, shape: Shape) -> usize {
        let fork = self.after(before, shape, "");
        let ends: Vec<usize> = parts.iter().map(|part| self.add(part, fork)).collect();
        let join = self.node(shape, "");
        self.flows.extend(ends.into_iter().map(|end| (end, join)));
        join
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <definitions xmlns=\"http://www.omg.org/spec/BPMN/20100524/MODEL\"\n\
            \x20 xmlns:bpmndi=\"http://www.omg.org/spec/BPMN/20100524/DI\"\n\
            \x20 xmlns:dc=\"http://www.omg.org/spec/DD/20100524/DC\"\n\
            \x20 xmlns:di=\"http://www.omg.org/spec/DD/20100524/DI\"\n\
            \x20 id=\"definitions\" targetNamespace=\"urn:auterity:mined\">\n\
            <process id=\"process\" isExecutable=\"false\">\n",
        )?;
        for (at, (shape, name)) in self.nodes.iter().enumerate() {
            write!(out, "<{} id=\"n{at}\" name=\"", shape.element())?;
            escape(name, out)?;
            out.write_all(b"\">")?;
            for (flow, (source, target)) in self.flows.iter().enumerate() {
                if *target == at {
                    write!(out, "<incoming>f{flow}</incoming>")?;
                }
                if *source == at {
                    write!(out, "<outgoing>f{flow}</outgoing>")?;
                }
            }
            writeln!(out, "</{}>", shape.element())?;
        }
        for (flow, (source, target)) in self.flows.iter().enumerate() {
            writeln!(
                out,
                "<sequenceFlow id=\"f{flow}\" sourceRef=\"n{source}\" targetRef=\"n{target}\"/>"
            )?;
        }
        out.write_all(b"</process>\n")?;
        self.write_shapes(out)?;
        out.write_all(b"</definitions>\n")?;
        out.flush()
    }

    /// Where shapes and flows are drawn: from left to right.
    fn write_shapes(&self, out: &mut impl Write) -> io::Result<()> {
        let turned = |(width, height): (f64, f64)| (height, width);
        let layout = Layout::of(&LayoutInput {
            nodes: self
                .nodes
                .iter()
                .map(|(shape, _)| turned(shape.size()))
                .collect(),
            edges: self.flows.clone(),
            node_gap: 40.0,
            layer_gap: 60.0,
        });
        out.write_all(
            b"<bpmndi:BPMNDiagram id=\"diagram\">\n<bpmndi:BPMNPlane id=\"plane\" bpmnElement=\"process\">\n",
        )?;
        for (at, ((shape, _), &middle)) in self.nodes.iter().zip(&layout.nodes).enumerate() {
            let ((x, y), (width, height)) = (turned(middle), shape.size());
            writeln!(
                out,
                "<bpmndi:BPMNShape id=\"s{at}\" bpmnElement=\"n{at}\"><dc:Bounds x=\"{:.0}\" \
                 y=\"{:.0}\" width=\"{width}\" height=\"{height}\"/></bpmndi:BPMNShape>",
                x - width / 2.0,
                y - height / 2.0
            )?;
        }
        for (flow, points) in layout.edges.iter().enumerate() {
            write!(
                out,
                "<bpmndi:BPMNEdge id=\"e{flow}\" bpmnElement=\"f{flow}\">"
            )?;
            for &point in points {
                let (x, y) = turned(point);
                write!(out, "<di:waypoint x=\"{x:.0}\" y=\"{y:.0}\"/>")?;
            }
            out.write_all(b"</bpmndi:BPMNEdge>\n")?;
        }
        out.write_all(b"</bpmndi:BPMNPlane>\n</bpmndi:BPMNDiagram>\n")
    }
}
