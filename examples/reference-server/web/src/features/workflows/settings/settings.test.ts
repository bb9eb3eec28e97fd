import { describe, expect, it } from 'vitest';
import type { Json, WorkflowSettings } from '../../../api/types.ts';
import { draftOf, read } from '../../../forms/draft.ts';
import { SETTINGS_FORM } from './schema.ts';
import { limitsOf, periodOf } from './words.ts';

const FULL: WorkflowSettings = {
  priority: 5,
  concurrency: [{ max: 20 }, { max: 1, key: '.customer.id' }],
  throttle: [{ max: 600, period: 'PT1M', burst: 10 }],
  rate: [{ max: 10_000, period: 'PT1H', key: '.customer.id' }],
  debounce: { period: 'PT10S' },
  singleton: { keep: 'oldest' },
  queue_max: 50_000,
  retention: 'P30D',
};

describe('the settings of a workflow', () => {
  it('are told in words', () => {
    expect(limitsOf(FULL)).toEqual([
      '20 at work', '1 at work per .customer.id', '600 in 1 minute, 10 at once begin, others wait',
      '10000 in 1 hour per .customer.id may be started', '50000 waiting', 'One for starts within 10 seconds',
      'The oldest one only', 'Kept for 30 days after the end', 'Priority 5',
    ]);
    expect(limitsOf({ priority: 0, concurrency: [], throttle: [], rate: [] })).toEqual([]);
    expect(['P1D', 'PT2H30M', 'PT0.5S', 'P1M'].map(periodOf)).toEqual(['1 day', '2 hours 30 minutes', '0.5 seconds', 'P1M']);
  });

  it('come out of the form as they went in', () => {
    expect(read(SETTINGS_FORM, draftOf(SETTINGS_FORM, FULL as unknown as Json))).toEqual({ value: FULL, mistakes: [] });
    const empty = { priority: 0, concurrency: [], throttle: [], rate: [], debounce: null, singleton: null, queue_max: null, retention: null };
    expect(read(SETTINGS_FORM, draftOf(SETTINGS_FORM, empty))).toEqual({
      value: { priority: 0, concurrency: [], throttle: [], rate: [] }, mistakes: [],
    });
  });
});
