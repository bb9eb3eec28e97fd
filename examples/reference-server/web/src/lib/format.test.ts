import { describe, expect, it } from 'vitest';
import { nextVersion, versionOf, withVersion } from '../definition/version.ts';
import { merge } from '../features/executions/merge.ts';
import { barsOf, summaryOf } from '../ui/ribbon.ts';
import type { ExecutionStatus, ExecutionSummary } from '../api/types.ts';
import { ago, duration, shortId, slugOf, tickLabel } from './format.ts';

describe('format', () => {
  it('writes durations of every size', () => {
    const sizes = [0, 12.4, 999, 3_204, 31_600, 59_960, 245_000, 7_800_000, 273_600_000];
    expect(sizes.map(duration)).toEqual([
      '< 1 ms', '12 ms', '999 ms', '3.20 s', '31.6 s', '1 min 00 s', '4 min 05 s', '2 h 10 min', '3 d 4 h',
    ]);
  });

  it('writes round times on an axis without zeros', () => {
    const times = [500, 1_000, 1_500, 20_000, 120_000, 21_600_000, 172_800_000];
    expect(times.map(tickLabel)).toEqual(['500 ms', '1 s', '1.5 s', '20 s', '2 min', '6 h', '2 d']);
  });

  it('writes how long ago something was', () => {
    const now = Date.parse('2026-01-02T00:00:00Z');
    const times = ['2026-01-01T23:59:55Z', '2026-01-01T23:59:15Z', '2026-01-01T23:56:00Z', '2026-01-01T20:00:00Z', '2025-12-30T00:00:00Z'];
    expect(times.map((time) => ago(time, now))).toEqual(['just now', '45 s ago', '4 min ago', '4 h ago', '3 d ago']);
  });

  it('makes short names out of names', () => {
    expect(slugOf('Müller & Söhne GmbH')).toBe('muller-sohne-gmbh');
    expect(slugOf('  ***  ')).toBe('');
    expect(slugOf(`${'a'.repeat(39)} b`)).toBe('a'.repeat(39));
    expect(shortId('exe_0123456789abcdefghjkmnpqrs')).toBe('exe_…mnpqrs');
  });
});

describe('versions in a definition', () => {
  const YAML = "# 1\ndocument:\n  dsl: '1.0.3'\n\n  version: '1.2.0' # ours\n  name: a\ndo:\n  - x:\n      set:\n        version: 9\n";

  it('are found and changed without touching anything else', () => {
    expect(versionOf(YAML)).toBe('1.2.0');
    expect(withVersion(YAML, '1.2.1')).toBe(YAML.replace("'1.2.0'", "'1.2.1'"));
    expect(versionOf('document:\r\n  version: 0.1.0\r\n')).toBe('0.1.0');
    const json = '{ "document": { "dsl": "1.0.3", "version": "2.0.0" }, "do": [] }';
    expect(withVersion(json, '2.0.1')).toBe(json.replace('2.0.0', '2.0.1'));
  });

  it('are not taken from anywhere else', () => {
    expect(versionOf('document:\n  name: a\ndo:\n  - x:\n      version: 9\n')).toBeNull();
    expect(withVersion('do: []', '1.0.0')).toBeNull();
  });

  it('go on from the highest', () => {
    expect(nextVersion(['1.9.0', '1.10.3', '0.20.0'])).toBe('1.10.4');
    expect(nextVersion([])).toBe('0.0.1');
  });
});

describe('the ribbon', () => {
  it('puts the newest at the right and says the outcome in words', () => {
    const recent = [
      { id: 'a', status: 'completed' as const, duration_ms: 10 },
      { id: 'b', status: 'faulted' as const, duration_ms: 100_000 },
    ];
    const bars = barsOf(recent, 60, 22);
    expect(bars.map((bar) => bar.x)).toEqual([232, 236]);
    expect(bars[0]!.height).toBeLessThan(bars[1]!.height);
    expect(summaryOf(recent)).toBe('Last 2 executions: 1 completed, 1 faulted');
    expect(summaryOf([])).toBe('No executions yet');
  });
});

describe('live changes of a list', () => {
  const item = (id: string, status: ExecutionStatus, started_at: string): ExecutionSummary => ({
    id, status, started_at, workflow: { namespace: 'a', name: 'b', version: '1' }, ended_at: null, duration_ms: null, waiting_for: null,
  });
  const list = [item('2', 'running', '2026-01-02'), item('1', 'running', '2026-01-01')];
  const all = { workflow: '', status: '' };

  it('change known rows in place and only count new ones', () => {
    expect(merge(list, item('1', 'faulted', '2026-01-01'), all).items!.map((row) => row.status)).toEqual(['running', 'faulted']);
    expect(merge(list, item('3', 'running', '2026-01-03'), all)).toEqual({ items: null, isNew: true });
  });

  it('leave out what the filter hides and what is further down', () => {
    expect(merge(list, item('3', 'running', '2026-01-03'), { workflow: 'a/c', status: '' }).isNew).toBe(false);
    expect(merge(list, item('3', 'running', '2026-01-03'), { workflow: '', status: 'faulted' }).isNew).toBe(false);
    expect(merge(list, item('0', 'running', '2025-01-01'), all).isNew).toBe(false);
  });
});
