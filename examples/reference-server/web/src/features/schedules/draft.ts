import type { CatchUp, Overlap, Schedule, ScheduleSpec, ScheduleTiming } from '../../api/types.ts';

export type Kind = 'cron' | 'every' | 'after' | 'on';

/** What a person has typed about a schedule so far. */
export interface Draft {
  name: string;
  /** `namespace/name` */
  workflow: string;
  /** Empty: the highest at each tick. */
  version: string;
  kind: Kind;
  cron: string;
  zone: string;
  every: string;
  after: string;
  on: string;
  overlap: Overlap;
  catchUp: CatchUp;
  window: string;
  jitter: string;
  startsAt: string;
  endsAt: string;
  pauseAfter: string;
  priority: string;
  input: string;
}

export const OVERLAPS: Record<Overlap, string> = {
  allow: 'It starts too',
  skip: 'It is left out',
  queue_one: 'It waits; while one waits, others are left out',
  queue_all: 'It waits for all before it',
  cancel: 'It cancels the running one',
};

export const CATCH_UPS: Record<CatchUp, string> = {
  last: 'The last one is made up for',
  none: 'They are left out',
  all: 'All are made up for',
  window: 'Those of the last hours are made up for',
};

const EVENTS = { one: { with: { type: 'order.paid' } } };

/** A draft of a new schedule, or of what one says now. */
export function draftOf(schedule: Schedule | null, workflow: string, zone: string): Draft {
  const timing = schedule?.timing ?? { cron: '0 9 * * MON-FRI', time_zone: zone };
  return {
    name: schedule?.name ?? '',
    workflow: schedule ? `${schedule.workflow.namespace}/${schedule.workflow.name}` : workflow,
    version: schedule?.workflow.version ?? '',
    kind: kindOf(timing),
    cron: timing.cron ?? '0 9 * * MON-FRI',
    zone: timing.cron ? (timing.time_zone ?? 'UTC') : zone,
    every: timing.every ?? '15 min',
    after: timing.after ?? '1 min',
    on: JSON.stringify(timing.on ?? EVENTS, null, 2),
    overlap: schedule?.overlap ?? 'allow',
    catchUp: schedule?.catch_up ?? 'last',
    window: schedule?.catch_up_window ?? '6 h',
    jitter: schedule && !/^PT?0S?$/.test(schedule.jitter) ? schedule.jitter : '',
    startsAt: localOf(schedule?.starts_at),
    endsAt: localOf(schedule?.ends_at),
    pauseAfter: String(schedule?.pause_after_failures ?? ''),
    priority: schedule?.priority ? String(schedule.priority) : '',
    input: schedule?.input === undefined || schedule.input === null ? '' : JSON.stringify(schedule.input, null, 2),
  };
}

function kindOf(timing: ScheduleTiming): Kind {
  if (timing.every) return 'every';
  if (timing.after) return 'after';
  return timing.cron ? 'cron' : 'on';
}

/** The timing of a draft; throws words for people where its events are no JSON. */
export function timingOf(draft: Draft): ScheduleTiming {
  switch (draft.kind) {
    case 'cron':
      return { cron: draft.cron.trim(), time_zone: draft.zone.trim() || null };
    case 'every':
      return { every: isoOf(draft.every) };
    case 'after':
      return { after: isoOf(draft.after) };
    default:
      return { on: JSON.parse(draft.on) as unknown };
  }
}

/** What the API takes, and what is wrong by the field's pointer. */
export function specOf(draft: Draft): { spec: ScheduleSpec; mistakes: Record<string, string> } {
  const mistakes: Record<string, string> = {};
  const [namespace = '', name = ''] = draft.workflow.split('/');
  if (!draft.name.trim()) mistakes['/name'] = 'Fill this in.';
  if (!name) mistakes['/workflow'] = 'Choose a workflow.';
  const attempt = <T>(pointer: string, read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch {
      mistakes[pointer] = 'This is not valid JSON.';
      return otherwise;
    }
  };
  const count = (pointer: string, text: string): number | null => {
    if (text.trim() === '') return null;
    if (!/^-?\d+$/.test(text.trim())) mistakes[pointer] = 'Enter a whole number.';
    return Number(text);
  };
  const spec: ScheduleSpec = {
    name: draft.name.trim(),
    workflow: { namespace, name, version: draft.version || null },
    timing: attempt('/timing/on', () => timingOf(draft), {}),
    overlap: draft.overlap,
    catch_up: draft.catchUp,
    catch_up_window: draft.catchUp === 'window' ? isoOf(draft.window) : null,
    jitter: draft.jitter.trim() ? isoOf(draft.jitter) : null,
    starts_at: instantOf(draft.startsAt),
    ends_at: instantOf(draft.endsAt),
    pause_after_failures: count('/pause_after_failures', draft.pauseAfter),
    priority: count('/priority', draft.priority),
  };
  if (draft.input.trim()) spec.input = attempt('/input', () => JSON.parse(draft.input) as unknown, null);
  return { spec, mistakes };
}

const UNITS: Record<string, string> = { d: 'D', h: 'H', m: 'M', s: 'S' };

/** An ISO 8601 duration out of `15 min`, `1 h 30 m`, `2 days`; anything else is left to the server. */
export function isoOf(text: string): string {
  const words = text.trim().toLowerCase();
  if (!/^(\d+\s*(d|h|m|s)[a-z]*\s*)+$/.test(words)) return text.trim().toUpperCase();
  const parts = [...words.matchAll(/(\d+)\s*([dhms])/g)].map((match) => `${match[1]}${UNITS[match[2]!]}`);
  const [days, times] = [parts.filter((part) => part.endsWith('D')), parts.filter((part) => !part.endsWith('D'))];
  return `P${days.join('')}${times.length ? `T${times.join('')}` : ''}`;
}

/** What a field for date and time shows: the viewer's local time, to the minute. */
export function localOf(at: string | null | undefined): string {
  if (!at) return '';
  const date = new Date(at);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The moment that such a field means. */
export function instantOf(local: string): string | null {
  return local ? new Date(local).toISOString() : null;
}
