import type { RecentExecution } from '../api/types.ts';

export interface Bar {
  id: string;
  status: string;
  ms: number | null;
  x: number;
  height: number;
}

const HEIGHT_MIN = 3;
/** A duration of this many decades fills the height: from 1 ms to about 28 h. */
const DECADES = 8;

/** The last executions as bars, newest at the right; the height is the logarithm of the time. */
export function barsOf(recent: RecentExecution[], count: number, height: number): Bar[] {
  const shown = recent.slice(-count);
  const start = count - shown.length;
  return shown.map((execution, index) => ({
    id: execution.id,
    status: execution.status,
    ms: execution.duration_ms ?? null,
    x: (start + index) * 4,
    height: heightOf(execution.duration_ms ?? null, height - 4),
  }));
}

function heightOf(ms: number | null, height: number): number {
  if (ms === null) return height / 2;
  const share = Math.log10(Math.max(ms, 1)) / DECADES;
  return Math.round(Math.min(height, Math.max(HEIGHT_MIN, HEIGHT_MIN + share * 1.6 * (height - HEIGHT_MIN))));
}

/** What the bars say, in words. */
export function summaryOf(recent: RecentExecution[]): string {
  if (recent.length === 0) return 'No executions yet';
  const counts = new Map<string, number>();
  for (const { status } of recent) counts.set(status, (counts.get(status) ?? 0) + 1);
  const parts = [...counts].map(([status, count]) => `${count} ${status}`);
  return `Last ${recent.length} executions: ${parts.join(', ')}`;
}
