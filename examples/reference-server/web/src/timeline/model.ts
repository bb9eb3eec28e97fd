import type { ExecutionEvent, TaskError, TaskRecord, TaskState } from '../api/types.ts';
import { Orders } from './orders.ts';

/** A stretch of a bar; `to` is null while it goes on. */
export interface Segment {
  from: number;
  to: number | null;
  isWaiting: boolean;
}

/** One task path of an execution: a bar with its attempts. */
export interface Row {
  path: string;
  task: string;
  name: string;
  kind: string;
  /** Which time this task began, from 1; loops and retries begin it again. */
  round: number;
  /** Every row of the same task. */
  rounds: Row[];
  /** The number of this activation in the execution, from the path. */
  ordinal: number;
  state: TaskState;
  parent: Row | null;
  children: Row[];
  depth: number;
  from: number;
  to: number | null;
  segments: Segment[];
  /** When each further attempt began to be needed. */
  retries: number[];
  attempt: number;
  output: unknown;
  error: TaskError | null;
}

/** Tasks that do nothing but wait for time or for somebody. */
const WAITING_KINDS = new Set(['wait', 'listen', 'approval']);

/** The rows of one execution, built from its events one by one. Events may come twice. */
export class Timeline {
  readonly #rows = new Map<string, Row>();
  readonly #byTask = new Map<string, Row[]>();
  readonly #roots: Row[] = [];
  /** What people asked for meanwhile. */
  readonly orders = new Orders();
  readonly events: ExecutionEvent[] = [];
  from: number | null = null;
  /** The latest moment that an event spoke of. */
  until = 0;
  isEnded = false;

  get last(): number {
    return this.events.at(-1)?.sequence ?? 0;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** Takes an event; false when it was known already. */
  apply(event: ExecutionEvent): boolean {
    if (event.sequence <= this.last) return false;
    this.events.push(event);
    const at = time(event.at);
    this.#see(at);
    const added: Row[] = [];
    for (const record of event.tasks) this.#record(record, at, added);
    this.#place(added);
    this.orders.apply(event, at);
    if (event.kind === 'execution.ended') this.#end(at);
    if (event.kind === 'execution.retried') this.isEnded = false;
    return true;
  }

  find(path: string): Row | null {
    return this.#rows.get(identity(path)) ?? null;
  }

  /** Every row as a tree, parents before children; folded rows keep theirs to themselves. */
  rows(folded: ReadonlySet<string> = new Set()): Row[] {
    const list: Row[] = [];
    const stack = [...this.#roots].reverse();
    for (let row = stack.pop(); row; row = stack.pop()) {
      list.push(row);
      if (folded.has(row.path)) continue;
      for (let index = row.children.length - 1; 0 <= index; index -= 1) stack.push(row.children[index]!);
    }
    return list;
  }

  #end(at: number): void {
    this.isEnded = true;
    for (const row of this.#rows.values()) {
      if (row.to !== null) continue;
      this.#close(row, at);
      row.state = 'cancelled';
    }
  }

  #see(at: number): void {
    this.from = this.from === null ? at : Math.min(this.from, at);
    this.until = Math.max(this.until, at);
  }

  #record(record: TaskRecord, eventAt: number, added: Row[]): void {
    const at = record.at ? time(record.at) : eventAt;
    this.#see(at);
    const row = this.#rows.get(identity(record.path)) ?? this.#add(record, at, added);
    // A migration may have given the task another place.
    row.task = record.task;
    row.path = record.path;
    row.attempt = Math.max(row.attempt, record.attempt);
    row.state = record.state;
    switch (record.state) {
      case 'started':
        row.to = null;
        this.#open(row, at, WAITING_KINDS.has(row.kind));
        break;
      case 'retrying':
        row.retries.push(at);
        row.error = record.error ?? row.error;
        this.#open(row, at, true);
        break;
      default:
        if (record.output !== undefined) row.output = record.output;
        row.error = record.error ?? (record.state === 'completed' ? null : row.error);
        this.#close(row, at);
    }
  }

  #add(record: TaskRecord, at: number, added: Row[]): Row {
    const from = Math.min(record.started_at ? time(record.started_at) : at, at);
    this.#see(from);
    const row: Row = {
      path: record.path,
      task: record.task,
      name: record.name,
      kind: record.kind,
      round: 1,
      rounds: [],
      ordinal: Number(/#(\d+)$/.exec(record.path)?.[1] ?? 0),
      state: record.state,
      parent: null,
      children: [],
      depth: 0,
      from,
      to: null,
      segments: [],
      retries: [],
      attempt: 1,
      output: undefined,
      error: null,
    };
    if (record.state !== 'skipped') this.#open(row, from, WAITING_KINDS.has(row.kind));
    this.#rows.set(identity(row.path), row);
    added.push(row);
    return row;
  }

  /**
   * Puts new rows into the tree once the whole event is known: within an event, tasks are told
   * when they end, so that children come before the task around them.
   */
  #place(added: Row[]): void {
    if (added.every((row) => 0 < row.ordinal)) added.sort((left, right) => left.ordinal - right.ordinal);
    for (const row of added) {
      const task = withoutNumbers(row.task);
      row.rounds = this.#byTask.get(task) ?? [];
      row.rounds.push(row);
      row.round = row.rounds.length;
      this.#byTask.set(task, row.rounds);
    }
    for (const row of added) {
      row.parent = this.#parentOf(row);
      (row.parent?.children ?? this.#roots).push(row);
      this.#reopen(row);
      const pause = row.parent?.segments.at(-1);
      if (row.parent?.state === 'retrying' && pause?.to === null) {
        // The next attempt has begun: the pause of the task around it is over.
        row.parent.state = 'started';
        this.#open(row.parent, Math.max(row.from, pause.from), false);
      }
    }
    for (const row of added) {
      for (let around = row.parent; around; around = around.parent) row.depth += 1;
    }
  }

  /** A task that begins inside of tasks that have ended: the execution was put back into them. */
  #reopen(row: Row): void {
    for (let around = row.parent; around && around.to !== null; around = around.parent) {
      if (row.to !== null && row.from <= around.to) return;
      around.to = null;
      around.state = 'started';
      around.error = null;
      this.#open(around, row.from, false);
    }
  }

  /** The nearest enclosing task; of several rows of it, the last that began before. */
  #parentOf(row: Row): Row | null {
    const task = withoutNumbers(row.task);
    for (let end = task.lastIndexOf('/'); 0 < end; end = task.lastIndexOf('/', end - 1)) {
      const rows = this.#byTask.get(task.slice(0, end)) ?? [];
      for (let index = rows.length - 1; 0 <= index; index -= 1) {
        const candidate = rows[index]!;
        if (row.ordinal === 0 || candidate.ordinal < row.ordinal) return candidate;
      }
    }
    return null;
  }

  #open(row: Row, at: number, isWaiting: boolean): void {
    const last = row.segments.at(-1);
    if (last && last.to === null) {
      if (last.isWaiting === isWaiting) return;
      last.to = at;
    }
    row.segments.push({ from: at, to: null, isWaiting });
  }

  #close(row: Row, at: number): void {
    const last = row.segments.at(-1);
    if (last && last.to === null) last.to = Math.max(at, last.from);
    row.to = Math.max(at, row.from);
  }
}

/** How long a row has taken, up to `now` while it goes on. */
export function lengthOf(row: Row, now: number): number {
  return Math.max(0, (row.to ?? now) - row.from);
}

/** Whether nothing inside a row is going on. */
export function isInnermost(row: Row): boolean {
  return row.to === null && row.children.every((child) => child.to !== null);
}

/** Whether a row stands still: waiting, or between two attempts. */
export function isWaiting(row: Row): boolean {
  return row.to === null && (row.segments.at(-1)?.isWaiting ?? false);
}

/** The number of an activation, which stays when a migration changes the pointer before it. */
function identity(path: string): string {
  return /#\d+$/.exec(path)?.[0] ?? path;
}

/** A pointer without the places in lists, which a migration changes; names are unique in a list. */
function withoutNumbers(task: string): string {
  return task.replace(/\/\d+(?=\/)/g, '/-');
}

function time(at: string): number {
  const value = Date.parse(at);
  return Number.isNaN(value) ? 0 : value;
}
