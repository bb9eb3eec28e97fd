import type { ExecutionEvent } from '../api/types.ts';

/** Something that somebody did to an execution. */
export interface Mark {
  sequence: number;
  at: number;
  kind: string;
  /** What happened, in a few words. */
  text: string;
  by: string | null;
  reason: string | null;
}

/** A stretch in which the execution was suspended; `to` is null while it is. */
export interface Pause {
  from: number;
  to: number | null;
}

const WORDS: Record<string, string> = {
  'execution.suspended': 'Suspended',
  'execution.resumed': 'Resumed',
  'execution.cancel_requested': 'Cancel requested',
  'execution.terminate_requested': 'Terminated',
  'execution.retried': 'Retried',
  'execution.migrated': 'Migrated to another version',
  'execution.forked': 'Forked from another execution',
  'execution.order_refused': 'Request refused: it did not fit any more',
  'task.skipped': 'Task skipped',
};

/** Whatever else is asked ends a suspension. */
const LEAVES_AS_IT_IS = new Set(['task.skipped', 'execution.migrated', 'execution.order_refused']);

/** What people asked of an execution, from its events. */
export class Orders {
  readonly marks: Mark[] = [];
  readonly pauses: Pause[] = [];
  /** Asked to end, and undoing what its definition says. */
  isCancelling = false;

  get isSuspended(): boolean {
    return this.pauses.at(-1)?.to === null;
  }

  apply(event: ExecutionEvent, at: number): void {
    const { sequence, kind, by = null, reason = null } = event;
    if (kind === 'execution.ended') this.#goOn(at);
    const words = WORDS[kind];
    if (words === undefined) return;
    this.marks.push({ sequence, at, kind, text: textOf(words, event), by, reason });
    if (kind === 'execution.suspended') this.#suspend(at);
    else if (!LEAVES_AS_IT_IS.has(kind)) this.#goOn(at);
    if (kind === 'execution.cancel_requested') this.isCancelling = true;
  }

  #suspend(at: number): void {
    if (!this.isSuspended) this.pauses.push({ from: at, to: null });
  }

  #goOn(at: number): void {
    this.isCancelling = false;
    const pause = this.pauses.at(-1);
    if (pause && pause.to === null) pause.to = Math.max(at, pause.from);
  }
}

/** Names the task, where the event is about one. */
function textOf(words: string, { kind, tasks }: ExecutionEvent): string {
  const name = kind === 'task.skipped' ? tasks.find((task) => task.state === 'skipped')?.name : undefined;
  return name ? `Skipped ${name}` : words;
}
