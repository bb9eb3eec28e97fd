/** `640 ms`, `3.2 s`, `4 min 05 s`, `2 h 10 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1) return '< 1 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A duration on an axis, where round numbers need no zeros. */
export function tickLabel(ms: number): string {
  return duration(ms).replace(/(\.\d*?)0+ s$/, '$1 s').replace('. s', ' s').replace(/ 0+ \w+$/, '');
}

/** A short distance to the past: `just now`, `4 min ago`, `3 d ago`. */
export function ago(at: string, now: number): string {
  const seconds = Math.round((now - Date.parse(at)) / 1000);
  if (seconds < 10) return 'just now';
  return `${short(seconds)} ago`;
}

/** A short distance to the future: `now`, `in 4 min`, `in 3 d`; to the past as `ago`. */
export function distance(at: string, now: number): string {
  const ms = Date.parse(at) - now;
  if (ms < -10_000) return ago(at, now);
  if (ms < 1_000) return 'now';
  return `in ${short(Math.round(ms / 1000))}`;
}

function short(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const CLOCK = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });

/** The viewer's local time: `14:02:11` today, with the date otherwise. */
export function moment(at: string, now: number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  const isToday = DAY.format(date) === DAY.format(now);
  return isToday ? CLOCK.format(date) : `${DAY.format(date)} ${CLOCK.format(date)}`;
}

/** A time as people of a zone see it: `Wed 25 Nov 2026, 02:30`; in UTC where there is no such zone. */
export function inZone(at: string, zone: string): string {
  const options = { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' } as const;
  const format = (timeZone: string) => new Intl.DateTimeFormat('en-GB', { ...options, timeZone }).format(new Date(at));
  try {
    return format(zone);
  } catch {
    return format('UTC');
  }
}

/** The time of day with milliseconds, for rows that follow each other quickly. */
export function clock(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  return `${CLOCK.format(date)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/** The end of an id, which is what tells ids of one moment apart. */
export function shortId(id: string): string {
  const [prefix, rest] = id.split('_');
  return rest && 8 < rest.length ? `${prefix}_…${rest.slice(-6)}` : id;
}

/** A name for addresses out of a name for people. */
export function slugOf(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[\u0300-\u036f]/g, '')
    .replace(/ß/g, 'ss')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '');
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
