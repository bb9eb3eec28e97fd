import { describe, expect, it } from 'vitest';
import { filterOf, reasonsOf, titleOf } from './words.ts';

describe('operations on many executions', () => {
  it('takes all that narrows a page into one filter', () => {
    expect(filterOf({ filter: '', workflow: '', status: '' })).toBe('');
    expect(filterOf({ filter: 'started>-7d', workflow: 'shop/invoice', status: 'faulted' })).toBe(
      'started>-7d workflow:shop/invoice status:faulted',
    );
    expect(filterOf({ filter: '', workflow: 'shop/a "b" c', status: '' })).toBe('workflow:"shop/a \\"b\\" c"');
  });

  it('counts reasons, the most frequent first', () => {
    const misfits = ['a', 'b', 'b'].map((reason, index) => ({ id: `exe_${index}`, reason }));
    expect(reasonsOf(misfits)).toEqual([
      { reason: 'b', count: 2 },
      { reason: 'a', count: 1 },
    ]);
    expect(reasonsOf([])).toEqual([]);
  });

  it('says what is done to how many', () => {
    expect(titleOf('cancel', 1)).toBe('Cancel 1 execution');
    expect(titleOf('retry', 12_345)).toBe('Retry 12,345 executions');
  });
});
