import type { ExecutionStatus, HumanTaskState, TaskState } from '../api/types.ts';

export type Outcome = 'completed' | 'running' | 'waiting' | 'faulted' | 'idle';
export type Shape = 'tick' | 'dot' | 'pause' | 'cross' | 'slash' | 'ring' | 'arrow';

interface Look {
  outcome: Outcome;
  shape: Shape;
  label: string;
}

/** What is going to be cancelled, schedules, ticks that have no execution, and operations on many. */
type Other = 'cancelling' | 'active' | 'paused' | 'ended' | 'queued' | 'due' | 'lost' | 'missed' | 'failed' | Bulk;

/** Operations on many executions, and what became of each. */
type Bulk = 'planned' | 'done' | 'stopped' | 'refused';

/** How each state looks everywhere: never by colour alone. */
const LOOKS: Record<ExecutionStatus | HumanTaskState | TaskState | Other, Look> = {
  pending: { outcome: 'idle', shape: 'ring', label: 'Pending' },
  running: { outcome: 'running', shape: 'dot', label: 'Running' },
  started: { outcome: 'running', shape: 'dot', label: 'Running' },
  waiting: { outcome: 'waiting', shape: 'pause', label: 'Waiting' },
  suspended: { outcome: 'waiting', shape: 'pause', label: 'Suspended' },
  retrying: { outcome: 'waiting', shape: 'arrow', label: 'Retrying' },
  completed: { outcome: 'completed', shape: 'tick', label: 'Completed' },
  faulted: { outcome: 'faulted', shape: 'cross', label: 'Faulted' },
  cancelling: { outcome: 'waiting', shape: 'slash', label: 'Cancelling' },
  cancelled: { outcome: 'idle', shape: 'slash', label: 'Cancelled' },
  skipped: { outcome: 'idle', shape: 'arrow', label: 'Skipped' },
  active: { outcome: 'running', shape: 'dot', label: 'Active' },
  paused: { outcome: 'waiting', shape: 'pause', label: 'Paused' },
  ended: { outcome: 'idle', shape: 'ring', label: 'Ended' },
  queued: { outcome: 'idle', shape: 'ring', label: 'Queued' },
  due: { outcome: 'idle', shape: 'ring', label: 'Due' },
  lost: { outcome: 'faulted', shape: 'cross', label: 'Lost' },
  missed: { outcome: 'idle', shape: 'slash', label: 'Missed' },
  failed: { outcome: 'faulted', shape: 'cross', label: 'Failed' },
  planned: { outcome: 'idle', shape: 'ring', label: 'Planned' },
  done: { outcome: 'completed', shape: 'tick', label: 'Done' },
  stopped: { outcome: 'idle', shape: 'slash', label: 'Stopped' },
  refused: { outcome: 'faulted', shape: 'cross', label: 'Refused' },
  open: { outcome: 'idle', shape: 'ring', label: 'Open' },
  claimed: { outcome: 'running', shape: 'dot', label: 'Taken' },
  held: { outcome: 'waiting', shape: 'pause', label: 'Held' },
  expired: { outcome: 'faulted', shape: 'cross', label: 'Expired' },
  withdrawn: { outcome: 'idle', shape: 'slash', label: 'Withdrawn' },
};

export function lookOf(state: string): Look {
  return LOOKS[state as ExecutionStatus] ?? { outcome: 'idle', shape: 'ring', label: state };
}

/** Every status that an execution can have, in the order of its life. */
export const STATUSES: ExecutionStatus[] = [
  'pending',
  'running',
  'waiting',
  'suspended',
  'completed',
  'faulted',
  'cancelled',
];

export function isOver(status: ExecutionStatus): boolean {
  return status === 'completed' || status === 'faulted' || status === 'cancelled';
}
