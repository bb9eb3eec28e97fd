import type { WorkflowSettings } from '../../../api/types.ts';

const UNITS: [RegExp, string, string][] = [
  [/(\d+)D/, 'day', 'days'],
  [/(\d+)H/, 'hour', 'hours'],
  [/T.*?(\d+)M/, 'minute', 'minutes'],
  [/([\d.]+)S/, 'second', 'seconds'],
];

/** `1 minute`, `2 hours 30 minutes`; an ISO 8601 duration that is none of these as it is. */
export function periodOf(iso: string): string {
  const parts = UNITS.flatMap(([pattern, one, many]) => {
    const count = pattern.exec(iso)?.[1];
    return count === undefined ? [] : [`${count} ${count === '1' ? one : many}`];
  });
  return parts.join(' ') || iso;
}

/** What the settings limit, a line for each. */
export function limitsOf(settings: WorkflowSettings): string[] {
  const per = (key: string | null | undefined) => (key ? ` per ${key}` : '');
  const pace = (limit: WorkflowSettings['rate'][number]) =>
    `${limit.max} in ${periodOf(limit.period)}${per(limit.key)}${limit.burst ? `, ${limit.burst} at once` : ''}`;
  const lines = [
    ...settings.concurrency.map((limit) => `${limit.max} at work${per(limit.key)}`),
    ...settings.throttle.map((limit) => `${pace(limit)} begin, others wait`),
    ...settings.rate.map((limit) => `${pace(limit)} may be started`),
  ];
  if (settings.queue_max != null) lines.push(`${settings.queue_max} waiting`);
  if (settings.debounce) lines.push(`One for starts within ${periodOf(settings.debounce.period)}${per(settings.debounce.key)}`);
  if (settings.singleton) lines.push(`The ${settings.singleton.keep ?? 'newest'} one only${per(settings.singleton.key)}`);
  if (settings.retention) lines.push(`Kept for ${periodOf(settings.retention)} after the end`);
  if (settings.priority !== 0) lines.push(`Priority ${settings.priority}`);
  return lines;
}
