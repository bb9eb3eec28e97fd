export const ROW_HEIGHT = 28;
const BEYOND = 8;

/** Which rows of a long list are worth drawing. */
export function windowOf(count: number, top: number, height: number): { start: number; end: number } {
  const first = Math.floor(top / ROW_HEIGHT) - BEYOND;
  const last = Math.ceil((top + height) / ROW_HEIGHT) + BEYOND;
  const start = Math.min(Math.max(0, first), count);
  return { start, end: Math.max(start, Math.min(count, last)) };
}

/**
 * Where a growing axis ends: beyond now, in steps, so that the bars grow and the axis stays for a
 * while.
 */
export function horizon(elapsed: number): number {
  let end = 2_000;
  while (end < elapsed * 1.04) end *= 1.5;
  return end;
}
