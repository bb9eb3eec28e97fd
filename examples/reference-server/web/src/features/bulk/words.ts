import type { BulkActionName, BulkMisfit, ExecutionSummary } from '../../api/types.ts';

interface Words {
  label: string;
  /** What will happen to each, for the person who confirms it. */
  effect: string;
  isDangerous?: boolean;
}

/** What can be done to many executions, the most likely first. */
export const BULK_WORDS: Record<BulkActionName, Words> = {
  retry: {
    label: 'Retry',
    effect: 'Each goes on from the task that failed. What happened outside is not undone; calls that are made again have new idempotency keys.',
  },
  cancel: {
    label: 'Cancel',
    effect: 'Each ends with an error that its definition may catch to undo what was done; then it is cancelled.',
    isDangerous: true,
  },
  suspend: { label: 'Suspend', effect: 'No further task of theirs begins. What is under way ends, and its result is recorded.' },
  resume: { label: 'Resume', effect: 'First takes effect what came due meanwhile. Then each goes on.' },
  migrate: { label: 'Migrate', effect: 'Each goes on under another version of its workflow. One that does not map is left as it is.' },
  terminate: { label: 'Terminate', effect: 'Each ends at once. Nothing is undone.', isDangerous: true },
};

export const BULK_ACTIONS = Object.keys(BULK_WORDS) as BulkActionName[];

/** `Cancel 1,204 executions`. */
export function titleOf(action: BulkActionName, total: number): string {
  return `${BULK_WORDS[action].label} ${total.toLocaleString('en')} ${total === 1 ? 'execution' : 'executions'}`;
}

/** The reasons of refusals with how many have each, the most frequent first. */
export function reasonsOf(misfits: BulkMisfit[]): { reason: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const { reason } of misfits) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].map(([reason, count]) => ({ reason, count })).toSorted((left, right) => right.count - left.count);
}

/** One filter of a page's filter, workflow and status. */
export function filterOf(parts: { filter: string; workflow: string; status: string }): string {
  const quoted = (value: string) => (/[\s,"]/.test(value) ? `"${value.replace(/["\\]/g, '\\$&')}"` : value);
  const terms = [parts.filter, parts.workflow && `workflow:${quoted(parts.workflow)}`, parts.status && `status:${parts.status}`];
  return terms.filter(Boolean).join(' ');
}

/** What is probably wanted for executions such as these. */
export function hintFor(executions: ExecutionSummary[]): BulkActionName {
  const first = executions[0]?.status;
  if (first === 'faulted' || first === 'cancelled') return 'retry';
  return first === 'suspended' ? 'resume' : 'cancel';
}
