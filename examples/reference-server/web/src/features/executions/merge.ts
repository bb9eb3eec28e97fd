import type { ExecutionSummary } from '../../api/types.ts';

export interface Filter {
  /** `namespace/name`; empty for all. */
  workflow: string;
  status: string;
}

/**
 * Takes a live change into a list: a known row is changed in its place, even when it no longer
 * matches the filter, so that nothing jumps; an unknown one is only counted.
 */
export function merge(
  items: ExecutionSummary[],
  change: ExecutionSummary,
  filter: Filter,
): { items: ExecutionSummary[] | null; isNew: boolean } {
  const index = items.findIndex((item) => item.id === change.id);
  if (0 <= index) return { items: items.with(index, change), isNew: false };
  const name = `${change.workflow.namespace}/${change.workflow.name}`;
  const isWanted =
    (filter.workflow === '' || filter.workflow === name) &&
    (filter.status === '' || filter.status === change.status);
  // Older than the page's end: it is further down, not new.
  const last = items.at(-1);
  const isOlder = last !== undefined && change.started_at < last.started_at;
  return { items: null, isNew: isWanted && !isOlder };
}
