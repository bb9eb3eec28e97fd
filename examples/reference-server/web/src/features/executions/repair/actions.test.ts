import { describe, expect, it } from 'vitest';
import type { ExecutionStatus, TaskRecord } from '../../../api/types.ts';
import { Timeline } from '../../../timeline/model.ts';
import { actionsFor, inputBefore, placesOf, taskActionsFor } from './actions.ts';

const at = (ms: number) => new Date(ms).toISOString();

function task(path: string, from: number, to: number, output?: unknown): TaskRecord {
  const pointer = path.replace(/#\d+/, '');
  return {
    task: pointer, name: pointer.split('/').at(-1)!, kind: 'call', path, state: to < 0 ? 'started' : 'completed',
    at: at(Math.max(from, to)), started_at: at(from), attempt: 1, output,
  };
}

/** Two tasks, a loop of two rounds, and one in it that is still at work. */
function timeline(): Timeline {
  const model = new Timeline();
  const tasks = [
    task('/do/0/first#1', 0, 5, { first: 1 }), task('/do/1/each#2', 6, -1),
    task('/do/1/each/do/0/ask#3', 6, 8, { asked: 1 }), task('/do/1/each/do/0/ask#4', 9, -1),
  ];
  model.apply({ sequence: 1, at: at(9), kind: 'execution.started', tasks });
  return model;
}

describe('the actions of an execution', () => {
  it('fit its status', () => {
    const of = (status: ExecutionStatus, isCancelling = false) => actionsFor(status, isCancelling).join(' ');
    expect(of('running')).toBe('suspend cancel fork migrate terminate');
    expect(of('suspended')).toBe('resume retry cancel fork migrate terminate');
    expect(of('running', true)).toBe('terminate fork');
    expect(of('faulted')).toBe('retry fork');
  });

  it('skip only what is at work, and retry only what stands still', () => {
    const [first, , , open] = timeline().rows();
    expect(taskActionsFor(open!, 'running')).toEqual(['skip', 'fork']);
    expect(taskActionsFor(open!, 'suspended')).toEqual(['skip', 'retry', 'fork']);
    expect(taskActionsFor(first!, 'running')).toEqual(['fork']);
    expect(taskActionsFor(first!, 'completed')).toEqual(['retry', 'fork']);
  });
});

describe('the places to go on from', () => {
  it('are the start, the newest round of each task, and the chosen one', () => {
    const rows = timeline().rows();
    const labels = (chosen: number | null, hasFailed = false) =>
      placesOf(rows, chosen === null ? null : rows[chosen]!, hasFailed).map((place) => place.label.trim());
    expect(labels(null)).toEqual(['The start', 'first', 'each', 'ask (2 of 2)']);
    expect(labels(2)).toEqual(['The start', 'first', 'each', 'ask (1 of 2)', 'ask (2 of 2)']);
    expect(labels(null, true)[0]).toBe('The task whose error ended it');
  });

  it('are offered with what came before them', () => {
    const rows = timeline().rows();
    const input = { given: true };
    expect(inputBefore(rows, '/', input)).toBe(input);
    expect(inputBefore(rows, '/do/0/first#1', input)).toBe(input);
    expect(inputBefore(rows, '/do/1/each#2', input)).toEqual({ first: 1 });
    expect(inputBefore(rows, '/do/1/each/do/0/ask#3', input)).toEqual({ first: 1 });
    expect(inputBefore(rows, '/do/1/each/do/0/ask#4', input)).toEqual({ asked: 1 });
  });
});
