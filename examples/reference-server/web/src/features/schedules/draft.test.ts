import { describe, expect, it } from 'vitest';
import type { Schedule } from '../../api/types.ts';
import { distance, inZone } from '../../lib/format.ts';
import { draftOf, instantOf, isoOf, localOf, specOf, timingOf } from './draft.ts';

const NIGHTLY: Schedule = {
  id: 'sch_1', name: 'Nightly', state: 'active', description: 'At 02:30', workflow: { namespace: 'a', name: 'b', version: '1.0.0' },
  input: { full: true }, priority: 2, timing: { cron: '30 2 * * *', time_zone: 'Europe/Berlin' }, overlap: 'skip',
  catch_up: 'window', catch_up_window: 'PT6H', jitter: 'PT5M', pause_after_failures: 3, failures: 0,
  starts_at: '2026-01-01T00:00:00Z', decided_to: '2026-01-01T00:00:00Z', ticks: 0, managed: false, revision: 1,
  created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z',
};

describe('a schedule', () => {
  it('comes out of the form as it went in', () => {
    expect(specOf(draftOf(NIGHTLY, '', 'UTC'))).toEqual({
      mistakes: {},
      spec: {
        name: 'Nightly', workflow: { namespace: 'a', name: 'b', version: '1.0.0' },
        timing: { cron: '30 2 * * *', time_zone: 'Europe/Berlin' }, overlap: 'skip', catch_up: 'window',
        catch_up_window: 'PT6H', jitter: 'PT5M', starts_at: '2026-01-01T00:00:00.000Z', ends_at: null,
        pause_after_failures: 3, priority: 2, input: { full: true },
      },
    });
  });

  it('says what is missing, and what is no JSON', () => {
    const draft = { ...draftOf(null, '', 'UTC'), kind: 'on' as const, on: '{', input: '[', pauseAfter: 'often' };
    expect(Object.keys(specOf(draft).mistakes)).toEqual(['/name', '/workflow', '/timing/on', '/pause_after_failures', '/input']);
  });

  it('has one timing, of the kind that is chosen', () => {
    const draft = { ...draftOf(NIGHTLY, '', 'UTC'), every: '90 min', after: '1 m' };
    expect(timingOf({ ...draft, kind: 'every' })).toEqual({ every: 'PT90M' });
    expect(timingOf({ ...draft, kind: 'after' })).toEqual({ after: 'PT1M' });
    expect(timingOf({ ...draft, kind: 'on' })).toEqual({ on: { one: { with: { type: 'order.paid' } } } });
    expect(draftOf({ ...NIGHTLY, timing: { every: 'PT1H' } }, '', 'UTC').kind).toBe('every');
  });
});

describe('durations and times', () => {
  it('are read as people write them', () => {
    expect(['15 min', '1 h 30 m', '2 days', '1d 12h', 'pt15m', 'soon'].map(isoOf)).toEqual(
      ['PT15M', 'PT1H30M', 'P2D', 'P1DT12H', 'PT15M', 'SOON'],
    );
    expect(instantOf(localOf('2026-03-01T10:20:00Z'))).toBe('2026-03-01T10:20:00.000Z');
    expect([localOf(null), instantOf('')]).toEqual(['', null]);
  });

  it('are told near and far, in any zone', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    const at = (seconds: number) => new Date(now + seconds * 1000).toISOString();
    expect([0, 30, 300, 7_300, 200_000, -120].map((seconds) => distance(at(seconds), now))).toEqual(
      ['now', 'in 30 s', 'in 5 min', 'in 2 h', 'in 2 d', '2 min ago'],
    );
    expect(inZone('2026-01-01T01:30:00Z', 'Europe/Berlin')).toBe('Thu, 1 Jan 2026, 02:30');
    expect(inZone('2026-01-01T01:30:00Z', 'Nowhere/At all')).toBe('Thu, 1 Jan 2026, 01:30');
  });
});
