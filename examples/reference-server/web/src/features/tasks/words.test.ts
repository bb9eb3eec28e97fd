import { describe, expect, it } from 'vitest';
import type { HumanTaskNote } from '../../api/types.ts';
import { audiences, deed, verb } from './words.ts';

function note(what: string, details: unknown = null): HumanTaskNote {
  return { at: '2026-01-01T00:00:00Z', what, details };
}

describe('the words for human tasks', () => {
  it('say what was done and to whom', () => {
    expect(deed(note('delegated', { to: { id: 'usr_1', email: 'bob@example.com' } }))).toBe('handed it on to bob@example.com');
    expect(deed(note('escalated', { to: ['role:owner', 'user:eve@example.com'] }))).toBe(
      'Escalated: now also for every owner, eve@example.com',
    );
    expect(deed(note('completed', { outcome: 'approved' }))).toBe('answered: approved');
    expect(deed(note('invented'))).toBe('invented');
  });

  it('name whom a task is for', () => {
    expect(audiences(['anyone'])).toBe('anyone');
    expect(audiences([])).toBe('nobody');
  });

  it('make buttons of outcomes', () => {
    expect(['approved', 'pay_later', 'ok'].map(verb)).toEqual(['Approve', 'Pay later', 'Ok']);
  });
});
