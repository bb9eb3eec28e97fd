import type { ExecutionStatus } from '../../../api/types.ts';
import { isOver } from '../../../ui/shapes.ts';
import type { Row } from '../../../timeline/model.ts';

export type Order = 'suspend' | 'resume' | 'cancel' | 'terminate';
export type Action = Order | 'skip' | 'retry' | 'fork' | 'migrate';

/** A repair that a person has chosen; `row` is the task that it starts from. */
export interface Choice {
  action: Action;
  row: Row | null;
}

export interface Words {
  /** In a list of actions. */
  label: string;
  title: string;
  button: string;
  /** What will happen, for the person who confirms it. */
  effects: string[];
  done: string;
  isDangerous?: boolean;
}

export const WORDS: Record<Action, Words> = {
  suspend: {
    label: 'Suspend',
    title: 'Suspend this execution',
    button: 'Suspend',
    effects: [
      'No further task begins. What is under way ends, and its result is recorded.',
      'Events that it listens for are taken. Times that come due take effect when it is resumed.',
    ],
    done: 'Suspended',
  },
  resume: {
    label: 'Resume',
    title: 'Resume this execution',
    button: 'Resume',
    effects: ['First takes effect what came due meanwhile: waits, retries, time-outs. Then it goes on.'],
    done: 'Resumed',
  },
  cancel: {
    label: 'Cancel',
    title: 'Cancel this execution',
    button: 'Cancel execution',
    effects: [
      'Every task at work ends with an error. What a catch for cancellation says is done to undo the rest, from the inside out.',
      'It is then cancelled, or faulted if something could not be undone. Child executions that it waits for are cancelled too.',
    ],
    done: 'Cancelling',
    isDangerous: true,
  },
  terminate: {
    label: 'Terminate',
    title: 'Terminate this execution',
    button: 'Terminate',
    effects: ['It ends at once. Nothing is undone, and what is being undone stops half way.'],
    done: 'Terminated',
    isDangerous: true,
  },
  skip: {
    label: 'Skip',
    title: 'Skip',
    button: 'Skip task',
    effects: [
      'The call under way is given up. What it has done outside stays.',
      'The next task gets the output below as it is, without the task’s output filter.',
    ],
    done: 'Skipped',
    isDangerous: true,
  },
  retry: {
    label: 'Retry from a task',
    title: 'Retry this execution',
    button: 'Retry',
    effects: [
      'It is put back to the task and goes on from there, with everything that was done before.',
      'What happened outside is not undone. Calls that are made again have new idempotency keys.',
    ],
    done: 'Retried',
  },
  fork: {
    label: 'Fork',
    title: 'Fork a new execution',
    button: 'Fork',
    effects: [
      'A new execution begins where this one stood. This one is left alone, and the two share nothing.',
      'Calls that this one had under way are made once more, under keys of the new one.',
    ],
    done: 'Forked',
  },
  migrate: {
    label: 'Migrate to a version',
    title: 'Migrate this execution',
    button: 'Migrate',
    effects: ['It goes on under another version of its workflow. Calls under way go on, and their results count.'],
    done: 'Migrated',
  },
};

/** What can be done to an execution, the most likely first. */
export function actionsFor(status: ExecutionStatus, isCancelling: boolean): Action[] {
  if (status === 'completed') return ['fork', 'retry'];
  if (isOver(status)) return ['retry', 'fork'];
  if (status === 'suspended') return ['resume', 'retry', 'cancel', 'fork', 'migrate', 'terminate'];
  if (isCancelling) return ['terminate', 'fork'];
  return ['suspend', 'cancel', 'fork', 'migrate', 'terminate'];
}

/** What can be done from one task. */
export function taskActionsFor(row: Row, status: ExecutionStatus): Action[] {
  if (isOver(status)) return ['retry', 'fork'];
  const start: Action[] = row.to === null ? ['skip'] : [];
  return status === 'suspended' ? [...start, 'retry', 'fork'] : [...start, 'fork'];
}

/** A place to retry or fork from. */
export interface Place {
  value: string;
  label: string;
}

const PLACES_MAX = 500;
const INDENT = '\u00a0\u00a0\u00a0';

/** The start, and the newest activation of each task that has run; also the chosen one. */
export function placesOf(rows: Row[], chosen: Row | null, hasFailed: boolean): Place[] {
  const wanted = rows.filter((row) => row === chosen || row.round === row.rounds.length);
  const tasks = wanted.slice(-PLACES_MAX).map((row) => ({
    value: row.path,
    label: `${INDENT.repeat(row.depth)}${row.name}${1 < row.rounds.length ? ` (${row.round} of ${row.rounds.length})` : ''}`,
  }));
  const failed = hasFailed ? [{ value: '', label: 'The task whose error ended it' }] : [];
  return [...failed, { value: '/', label: 'The start' }, ...tasks];
}

/** What a task was probably given: what the task before it gave, or the execution's input. */
export function inputBefore(rows: Row[], path: string, input: unknown): unknown {
  const row = rows.find((candidate) => candidate.path === path);
  if (!row) return input;
  const siblings = row.parent?.children ?? rows.filter((candidate) => candidate.parent === null);
  const before = siblings.filter((candidate) => candidate.to !== null && candidate.to <= row.from && candidate !== row);
  const last = before.toSorted((left, right) => left.to! - right.to!).at(-1);
  if (last) return last.output ?? input;
  return row.parent ? inputBefore(rows, row.parent.path, input) : input;
}
