import type { HumanTaskNote, HumanTaskPerson } from '../../api/types.ts';

/** What somebody did with a task, for its history. */
export function deed(note: HumanTaskNote): string {
  const details = note.details as { to?: unknown; outcome?: unknown } | null | undefined;
  switch (note.what) {
    case 'claimed':
      return 'took it';
    case 'released':
      return 'gave it back';
    case 'delegated':
      return `handed it on to ${nameOf(details?.to as HumanTaskPerson | undefined)}`;
    case 'escalated':
      return `Escalated: now also for ${audiences(details?.to)}`;
    case 'completed':
      return `answered: ${String(details?.outcome ?? '')}`;
    case 'expired':
      return 'The deadline passed without an answer';
    case 'withdrawn':
      return 'The execution went on without it';
    default:
      return note.what;
  }
}

/** A person as lists show one. */
export function nameOf(person: HumanTaskPerson | null | undefined): string {
  return person?.email ?? person?.id ?? 'somebody';
}

/** `user:` and `role:` in words. */
export function audience(text: string): string {
  if (text === 'anyone') return 'anyone';
  if (text.startsWith('role:')) return `every ${text.slice('role:'.length)}`;
  return text.replace(/^user:/, '');
}

export function audiences(list: unknown): string {
  const names = Array.isArray(list) ? list.filter((one) => typeof one === 'string').map(audience) : [];
  return names.join(', ') || 'nobody';
}

/** An outcome as a button says it: `pay_later` reads as `Pay later`. */
export function verb(outcome: string): string {
  const known: Record<string, string> = { approved: 'Approve', rejected: 'Reject' };
  const words = outcome.replace(/[_-]+/g, ' ').trim();
  return known[outcome] ?? words.charAt(0).toUpperCase() + words.slice(1);
}
