import type { Row } from './model.ts';

/** A stretch without work, drawn shorter than it was. */
export interface Gap {
  from: number;
  to: number;
  /** Places on the axis, 0 to 1. */
  left: number;
  right: number;
}

export interface Scale {
  from: number;
  to: number;
  gaps: Gap[];
  /** The place of a moment on the axis, 0 to 1. */
  place: (at: number) => number;
  /** The moment at a place. */
  moment: (place: number) => number;
}

/** A gap is squeezed when it is this many times longer than all that is drawn in full. */
const RATIO_MIN = 3;
const GAP_WIDTH = 0.1;
const GAPS_MAX = 5;

/** About the width of a character of a label. */
export const CHARACTER_PX = 6.2;

interface Knot {
  at: number;
  place: number;
}

/** The axis from the first to the last moment; with `squeeze`, long idle gaps are shortened. */
export function scaleOf(rows: Row[], from: number, until: number, squeeze: boolean): Scale {
  const to = Math.max(until, from + 1);
  const gaps = squeeze ? longGaps(idle(rows, from, to), to - from) : [];
  const skipped = gaps.reduce((sum, gap) => sum + gap.to - gap.from, 0);
  const full = Math.max(to - from - skipped, 1e-9);
  const unit = (1 - gaps.length * GAP_WIDTH) / full;

  const knots: Knot[] = [{ at: from, place: 0 }];
  let at = from;
  let place = 0;
  for (const gap of gaps) {
    place += (gap.from - at) * unit;
    gap.left = place;
    knots.push({ at: gap.from, place });
    place += GAP_WIDTH;
    gap.right = place;
    knots.push({ at: gap.to, place });
    at = gap.to;
  }
  knots.push({ at: to, place: 1 });
  return {
    from,
    to,
    gaps,
    place: (moment) => between(knots, moment, 'at', 'place'),
    moment: (x) => between(knots, x, 'place', 'at'),
  };
}

/** Round distances for about `count` ticks along an axis without gaps. */
export function ticks(span: number, count: number): number[] {
  const rough = span / Math.max(count, 1);
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5];
  steps.push(9e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 2592e6);
  const step = steps.find((candidate) => rough <= candidate) ?? 2592e6 * Math.ceil(rough / 2592e6);
  const list: number[] = [];
  for (let value = 0; value <= span; value += step) list.push(value);
  return list;
}

/** The stretches in which no task worked, in order. */
function idle(rows: Row[], from: number, to: number): Gap[] {
  const busy: [number, number][] = [];
  for (const row of rows) {
    if (0 < row.children.length) continue;
    for (const segment of row.segments) {
      if (!segment.isWaiting) busy.push([segment.from, segment.to ?? to]);
    }
  }
  busy.sort((left, right) => left[0] - right[0]);
  const gaps: Gap[] = [];
  let reached = from;
  for (const [start, end] of busy) {
    if (reached < start) gaps.push({ from: reached, to: start, left: 0, right: 0 });
    reached = Math.max(reached, end);
  }
  if (reached < to) gaps.push({ from: reached, to, left: 0, right: 0 });
  return gaps;
}

function longGaps(gaps: Gap[], span: number): Gap[] {
  const longest = [...gaps].sort((left, right) => right.to - right.from - (left.to - left.from));
  let rest = span;
  let chosen = 0;
  for (let count = 1; count <= Math.min(GAPS_MAX, longest.length); count += 1) {
    const gap = longest[count - 1]!;
    rest -= gap.to - gap.from;
    if (rest * RATIO_MIN < gap.to - gap.from) chosen = count;
  }
  return longest.slice(0, chosen).sort((left, right) => left.from - right.from);
}

function between(knots: Knot[], value: number, source: keyof Knot, target: keyof Knot): number {
  const first = knots[0]!;
  if (value <= first[source]) return first[target];
  for (let index = 1; index < knots.length; index += 1) {
    const right = knots[index]!;
    if (right[source] < value) continue;
    const left = knots[index - 1]!;
    const width = right[source] - left[source];
    const share = width === 0 ? 0 : (value - left[source]) / width;
    return left[target] + share * (right[target] - left[target]);
  }
  return knots.at(-1)![target];
}
