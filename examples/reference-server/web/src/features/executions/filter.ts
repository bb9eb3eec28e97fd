import { ApiError } from '../../api/errors.ts';
import type { ProblemItem } from '../../api/types.ts';

/** The mistakes of a filter that an answer tells of; none if something else is wrong. */
export function mistakesIn(error: unknown): ProblemItem[] {
  return error instanceof ApiError ? error.items.filter((item) => item.pointer === 'filter') : [];
}
