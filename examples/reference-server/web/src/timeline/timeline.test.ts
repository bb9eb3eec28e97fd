import { describe, expect, it } from 'vitest';
import type { ExecutionEvent, TaskRecord, TaskState } from '../api/types.ts';
import { isInnermost, isWaiting, lengthOf, Timeline } from './model.ts';
import { scaleOf, ticks } from './scale.ts';
import { horizon, windowOf } from './window.ts';

const at = (ms: number) => new Date(ms).toISOString();

function task(path: string, state: TaskState, more: Partial<TaskRecord> & { ms?: number } = {}): TaskRecord {
  const pointer = path.replace(/#\d+/g, '');
  const { ms, ...rest } = more;
  const moment = ms === undefined ? '' : at(ms);
  return {
    task: pointer, name: pointer.split('/').at(-1)!, kind: 'call', path, state,
    at: moment, started_at: moment, attempt: 1, ...rest,
  };
}

/** Events, one at each moment; their records happen then unless they say otherwise. */
function timeline(...events: [number, string, ...TaskRecord[]][]): Timeline {
  const model = new Timeline();
  events.forEach(([ms, kind, ...tasks], index) => model.apply(event(index + 1, ms, kind, tasks)));
  return model;
}

function event(sequence: number, ms: number, kind: string, tasks: TaskRecord[]): ExecutionEvent {
  return { sequence, at: at(ms), kind, tasks };
}

const shape = (model: Timeline) => model.rows().map((row) => `${'.'.repeat(row.depth)}${row.name}${1 < row.rounds.length ? row.round : ''}`);

describe('Timeline', () => {
  it('makes one row for each path, nested as the tasks are', () => {
    const model = timeline(
      [0, 'execution.started', task('/do/0/check', 'started', { kind: 'fork' }),
        task('/do/0/check/fork/branches/0/left', 'started'), task('/do/0/check/fork/branches/1/right', 'started')],
      [5, 'effect.completed', task('/do/0/check/fork/branches/1/right', 'completed')],
      [9, 'effect.completed', task('/do/0/check/fork/branches/0/left', 'completed'), task('/do/0/check', 'completed'),
        task('/do/1/each', 'started', { kind: 'for' }), task('/do/1/each/do/0/work#1', 'started')],
      [12, 'effect.completed', task('/do/1/each/do/0/work#1', 'completed'), task('/do/1/each/do/0/work#2', 'started')],
    );
    expect(shape(model)).toEqual(['check', '.left', '.right', 'each', '.work1', '.work2']);
    expect(model.rows(new Set(['/do/0/check'])).map((row) => row.name)).toEqual(['check', 'each', 'work', 'work']);
    expect(model.find('/do/1/each/do/0/work#1')).toMatchObject({ from: 9, to: 12, state: 'completed' });
    expect(lengthOf(model.find('/do/1/each/do/0/work#2')!, 20)).toBe(8);
  });

  it('nests by the number of each activation, also when children are told first', () => {
    const model = timeline(
      [0, 'execution.started',
        task('/do/0/outer/do/0/inner/do/0/leaf#3', 'completed'), task('/do/0/outer/do/0/inner#2', 'completed'),
        task('/do/0/outer#1', 'started'), task('/do/0/outer/do/0/inner#4', 'started')],
      [5, 'effect.completed',
        task('/do/0/outer/do/0/inner/do/0/leaf#5', 'completed'), task('/do/0/outer/do/0/inner#4', 'completed'),
        task('/do/0/outer#1', 'completed'), task('/do/1/last#6', 'completed')],
    );
    expect(shape(model)).toEqual(['outer', '.inner1', '..leaf1', '.inner2', '..leaf2', 'last']);
  });

  it('ends the pause of a task around others when one of them begins again', () => {
    const model = timeline(
      [0, 'execution.started', task('/do/0/safe#1', 'started', { kind: 'try' }), task('/do/0/safe/try/0/call#2', 'started')],
      [10, 'effect.failed', task('/do/0/safe/try/0/call#2', 'faulted'), task('/do/0/safe#1', 'retrying')],
    );
    const row = model.find('/do/0/safe#1')!;
    expect([isWaiting(row), isInnermost(row)]).toEqual([true, true]);
    model.apply(event(3, 30, 'timer.fired', [task('/do/0/safe/try/0/call#3', 'started', { attempt: 2 })]));
    expect([isWaiting(row), isInnermost(row), row.state]).toEqual([false, false, 'started']);
    expect(row.segments.map((segment) => [segment.from, segment.to])).toEqual([[0, 10], [10, 30], [30, null]]);
    expect(shape(model)).toEqual(['safe', '.call1', '.call2']);
  });

  it('takes the start of a task that is first heard of at its end', () => {
    const model = timeline([50, 'effect.completed', task('/do/0/a', 'completed', { started_at: at(20), output: { ok: true } })]);
    expect(model.find('/do/0/a')).toMatchObject({ from: 20, to: 50, output: { ok: true } });
    expect(model.from).toBe(20);
  });

  it('shows attempts and the pauses between them', () => {
    const error = { type: 'timeout', status: 408, title: 'Timeout' };
    const model = timeline(
      [0, 'execution.started', task('/do/0/a', 'started')],
      [10, 'effect.failed', task('/do/0/a', 'retrying', { attempt: 2, error })],
    );
    const row = model.find('/do/0/a')!;
    expect(isWaiting(row)).toBe(true);
    model.apply(event(3, 30, 'timer.fired', [task('/do/0/a', 'started', { attempt: 2 })]));
    model.apply(event(4, 40, 'effect.completed', [task('/do/0/a', 'completed', { attempt: 2 })]));
    expect(row.segments).toEqual([
      { from: 0, to: 10, isWaiting: false },
      { from: 10, to: 30, isWaiting: true },
      { from: 30, to: 40, isWaiting: false },
    ]);
    expect(row).toMatchObject({ retries: [10], attempt: 2, state: 'completed', error: null });
  });

  it('tells waiting from work, and what never ran', () => {
    const model = timeline([
      0, 'execution.started', task('/do/0/pause', 'started', { kind: 'wait' }), task('/do/1/maybe', 'skipped'),
    ]);
    expect(isWaiting(model.find('/do/0/pause')!)).toBe(true);
    expect(model.find('/do/1/maybe')).toMatchObject({ from: 0, to: 0, segments: [] });
  });

  it('closes what was open when the execution ended', () => {
    const model = timeline(
      [0, 'execution.started', task('/do/0/a', 'started')],
      [7, 'execution.cancel_requested'],
      [8, 'execution.ended'],
    );
    expect(model.isEnded).toBe(true);
    expect(model.find('/do/0/a')).toMatchObject({ to: 8, state: 'cancelled' });
  });

  it('goes on after its end, inside the tasks it was put back into', () => {
    const model = timeline(
      [0, 'execution.started', task('/do/0/outer#1', 'started', { kind: 'do' }), task('/do/0/outer/do/0/call#2', 'started')],
      [5, 'effect.failed', task('/do/0/outer/do/0/call#2', 'faulted', { error: { type: 'timeout', status: 408 } })],
      [5, 'execution.ended'],
      [90, 'execution.retried', task('/do/0/outer/do/0/call#3', 'started')],
    );
    expect(shape(model)).toEqual(['outer', '.call1', '.call2']);
    expect(model.isEnded).toBe(false);
    const outer = model.find('/do/0/outer#1')!;
    expect(outer).toMatchObject({ state: 'started', to: null });
    expect(outer.segments.map(({ from, to }) => [from, to])).toEqual([[0, 5], [90, null]]);
    expect(model.orders.marks.map((mark) => mark.text)).toEqual(['Retried']);
  });

  it('knows a task again that a migration has moved', () => {
    const model = timeline(
      [0, 'execution.started', task('/do/1/outer#1', 'started', { kind: 'do' }), task('/do/1/outer/do/0/pause#2', 'started')],
      [5, 'execution.migrated'],
      [9, 'timer.fired', task('/do/2/outer/do/3/pause#2', 'completed'), task('/do/2/outer/do/4/call#3', 'started')],
    );
    expect(shape(model)).toEqual(['outer', '.pause', '.call']);
    expect(model.find('/do/1/outer/do/0/pause#2')).toMatchObject({ from: 0, to: 9, task: '/do/2/outer/do/3/pause' });
  });

  it('tells what people asked for, and when it stood still for them', () => {
    const model = timeline(
      [0, 'execution.started', task('/do/0/pause#1', 'started', { kind: 'wait' })],
      [3, 'execution.suspended'],
      [7, 'task.skipped', task('/do/0/pause#1', 'skipped', { output: 1 })],
      [9, 'execution.resumed'],
      [12, 'execution.suspended'],
      [20, 'execution.cancel_requested'],
    );
    const { orders } = model;
    expect(orders.pauses).toEqual([{ from: 3, to: 9 }, { from: 12, to: 20 }]);
    expect([orders.isSuspended, orders.isCancelling]).toEqual([false, true]);
    expect(orders.marks.map((mark) => mark.text)).toEqual(
      ['Suspended', 'Skipped pause', 'Resumed', 'Suspended', 'Cancel requested'],
    );
    expect(model.find('/do/0/pause#1')).toMatchObject({ state: 'skipped', from: 0, to: 7, output: 1 });
    model.apply(event(7, 21, 'execution.ended', []));
    expect(orders.isCancelling).toBe(false);
  });

  it('ignores events that come again', () => {
    const model = timeline([0, 'execution.started', task('/do/0/a', 'started')]);
    expect(model.apply(event(1, 9, 'execution.started', [task('/do/0/a', 'faulted')]))).toBe(false);
    expect(model.find('/do/0/a')!.state).toBe('started');
    expect(model.last).toBe(1);
  });

  it('survives clocks that run backwards', () => {
    const model = timeline(
      [10, 'execution.started', task('/do/0/a', 'started')],
      [4, 'effect.completed', task('/do/0/a', 'completed')],
    );
    const row = model.find('/do/0/a')!;
    expect(lengthOf(row, 99)).toBe(0);
    expect(model.from).toBe(4);
  });
});

describe('scaleOf', () => {
  const DAY = 86_400_000;

  it('is linear where there is no long gap', () => {
    const model = timeline(
      [0, 'execution.started', task('/do/0/a', 'started')],
      [40, 'effect.completed', task('/do/0/a', 'completed'), task('/do/1/b', 'started', { kind: 'wait' })],
      [100, 'timer.fired', task('/do/1/b', 'completed')],
    );
    const scale = scaleOf(model.rows(), 0, 100, true);
    expect(scale.gaps).toEqual([]);
    expect(scale.place(40)).toBeCloseTo(0.4);
  });

  it('squeezes days of waiting so that the work stays visible, and can be undone', () => {
    const model = timeline(
      [0, 'execution.started', task('/do/0/a', 'started')],
      [2, 'effect.completed', task('/do/0/a', 'completed'), task('/do/1/b', 'started', { kind: 'listen' })],
      [90 * DAY, 'cloud_event.received', task('/do/1/b', 'completed'), task('/do/2/c', 'started')],
      [90 * DAY + 2, 'effect.completed', task('/do/2/c', 'completed')],
    );
    const scale = scaleOf(model.rows(), 0, 90 * DAY + 2, true);
    expect(scale.gaps).toHaveLength(1);
    expect(scale.gaps[0]).toMatchObject({ from: 2, to: 90 * DAY });
    expect(scale.place(2)).toBeCloseTo(0.45);
    expect(scale.place(90 * DAY)).toBeCloseTo(0.55);
    expect(scale.moment(scale.place(1))).toBeCloseTo(1);
    expect(scaleOf(model.rows(), 0, 90 * DAY + 2, false).place(2)).toBeLessThan(0.001);
  });

  it('never leaves the axis', () => {
    const scale = scaleOf([], 10, 10, true);
    expect([scale.place(0), scale.place(10), scale.place(99)]).toEqual([0, 0, 1]);
  });
});

describe('the axis and the window', () => {
  it('has round ticks', () => {
    expect(ticks(3_100, 4)).toEqual([0, 1000, 2000, 3000]);
    expect(ticks(7, 4)).toEqual([0, 2, 4, 6]);
  });

  it('ends beyond now and stays for a while', () => {
    expect(horizon(0)).toBe(2000);
    expect(horizon(1_900)).toBe(2000);
    expect(horizon(2_500)).toBe(3000);
  });

  it('draws only what is near the view', () => {
    expect(windowOf(10_000, 28_000, 560)).toEqual({ start: 992, end: 1028 });
    expect(windowOf(5, 0, 560)).toEqual({ start: 0, end: 5 });
    expect(windowOf(5, 90_000, 560)).toEqual({ start: 5, end: 5 });
  });
});
