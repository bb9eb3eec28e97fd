// Executions of the fake server: scripts of what happens when, told as journal events. Test code.

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

export function id(prefix) {
  let text = '';
  for (let index = 0; index < 26; index += 1) text += ALPHABET[Math.floor(Math.random() * 32)];
  return `${prefix}_${text}`;
}

const iso = (ms) => new Date(ms).toISOString();

/** What the invoice sample does: `[ms after the start, event kind, task changes…]`. */
export function invoice(input) {
  const lines = [];
  let at = 0;
  const say = (delay, kind, ...tasks) => lines.push([(at += delay), kind, tasks]);
  const task = (path, kind, state, more = {}) => ({ path, kind, state, ...more });
  say(0, 'execution.started',
    task('/do/0/receive', 'set', 'completed', { output: { invoice: input } }),
    task('/do/1/check', 'fork', 'started'),
    task('/do/1/check/fork/branches/0/budget', 'call', 'started'),
    task('/do/1/check/fork/branches/1/duplicate', 'do', 'started'),
    task('/do/1/check/fork/branches/1/duplicate/do/0/settle', 'wait', 'started'));
  say(38, 'effect.completed',
    task('/do/1/check/fork/branches/0/budget', 'call', 'completed', { output: { withinBudget: true, amount: input.amount } }));
  say(962, 'timer.fired',
    task('/do/1/check/fork/branches/1/duplicate/do/0/settle', 'wait', 'completed', { output: {} }),
    task('/do/1/check/fork/branches/1/duplicate/do/1/compare', 'call', 'started'));
  say(160, 'effect.failed',
    task('/do/1/check/fork/branches/1/duplicate/do/1/compare', 'call', 'retrying', {
      attempt: 2,
      error: { type: 'https://serverlessworkflow.io/spec/1.0.0/errors/communication', status: 503, title: 'Communication error', detail: 'the archive answered 503' },
    }));
  say(420, 'timer.fired', task('/do/1/check/fork/branches/1/duplicate/do/1/compare', 'call', 'started', { attempt: 2 }));
  say(120, 'effect.completed',
    task('/do/1/check/fork/branches/1/duplicate/do/1/compare', 'call', 'completed', { attempt: 2, output: { number: input.number, seenBefore: false } }),
    task('/do/1/check/fork/branches/1/duplicate', 'do', 'completed'),
    task('/do/1/check', 'fork', 'completed'),
    task('/do/2/route', 'switch', 'completed'),
    ...(input.approvers?.length ? [task('/do/3/approve', 'for', 'started')] : []));
  (input.approvers ?? []).forEach((approver, index) => {
    const mark = `#${index + 1}`;
    say(6, 'effect.completed',
      task(`/do/3/approve/do/0/ask${mark}`, 'call', 'completed', { started: -5, output: { to: approver, invoice: input.number } }),
      task(`/do/3/approve/do/1/coolOff${mark}`, 'wait', 'started'));
    say(700, 'timer.fired',
      task(`/do/3/approve/do/1/coolOff${mark}`, 'wait', 'completed'),
      ...(index + 1 === input.approvers.length ? [task('/do/3/approve', 'for', 'completed')] : []));
  });
  say(2, 'effect.completed', task('/do/4/book', 'call', 'started'));
  say(64, 'effect.completed', task('/do/4/book', 'call', 'completed', { output: { ...input, status: 'booked' } }));
  say(1, 'execution.ended');
  return { lines, status: 'completed', output: { ...input, status: 'booked' } };
}

/** An import that gives up after retries. */
export function importing() {
  const lines = [];
  let at = 0;
  const say = (delay, kind, ...tasks) => lines.push([(at += delay), kind, tasks]);
  const task = (path, kind, state, more = {}) => ({ path, kind, state, ...more });
  const error = { type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout', status: 408, title: 'Timeout', detail: 'the partner sent no file within 30 s', instance: '/do/1/fetch' };
  say(0, 'execution.started', task('/do/0/open', 'set', 'completed', { output: { files: 12 } }), task('/do/1/fetch', 'call', 'started'));
  for (let attempt = 2; attempt < 5; attempt += 1) {
    say(900, 'effect.failed', task('/do/1/fetch', 'call', 'retrying', { attempt, error }));
    say(400 * attempt, 'timer.fired', task('/do/1/fetch', 'call', 'started', { attempt }));
  }
  say(900, 'effect.failed', task('/do/1/fetch', 'call', 'faulted', { attempt: 4, error }));
  say(1, 'execution.ended');
  return { lines, status: 'faulted', output: null, error };
}

/** An approval that waits for days between two quick tasks. */
export function approval() {
  const day = 86_400_000;
  const task = (path, kind, state, more = {}) => ({ path, kind, state, ...more });
  return {
    lines: [
      [0, 'execution.started', [task('/do/0/prepare', 'set', 'completed'), task('/do/1/notify', 'call', 'started')]],
      [42, 'effect.completed', [task('/do/1/notify', 'call', 'completed', { output: { sent: 3 } }), task('/do/2/decision', 'listen', 'started')]],
      [2 * day, 'cloud_event.received', [task('/do/2/decision', 'listen', 'completed', { output: { approved: true } }), task('/do/3/file', 'call', 'started')]],
      [2 * day + 80, 'effect.completed', [task('/do/3/file', 'call', 'completed', { output: { ok: true } })]],
      [2 * day + 81, 'execution.ended', []],
    ],
    status: 'completed',
    output: { ok: true },
  };
}

/** A loop of many rounds. */
export function rounds(count) {
  const lines = [[0, 'execution.started', [{ path: '/do/0/each', kind: 'for', state: 'started' }]]];
  for (let round = 1; round <= count; round += 1) {
    lines.push([round * 3, 'effect.completed', [{ path: `/do/0/each/do/0/work#${round}`, kind: 'call', state: 'completed', started: -3 }]]);
  }
  lines.push([count * 3 + 1, 'execution.ended', [{ path: '/do/0/each', kind: 'for', state: 'completed' }]]);
  return { lines, status: 'completed', output: { rounds: count } };
}

/** The event of a script's line, as the API tells it. */
export function eventOf(line, sequence, start, begun) {
  const [offset, kind, tasks] = line;
  const at = start + offset;
  const records = tasks.map(({ path, kind: taskKind, state, started, attempt = 1, ...more }) => {
    if (!begun.has(path)) begun.set(path, { number: begun.size + 1, at: at + (started ?? 0) });
    const activation = begun.get(path);
    const pointer = path.replace(/#\d+/g, '');
    return {
      task: pointer, name: pointer.split('/').at(-1), kind: taskKind, path: `${pointer}#${activation.number}`, state,
      at: iso(at), started_at: iso(activation.at), attempt, ...more,
    };
  });
  // Tasks that go on are told last, as the server does it.
  const isOpen = (record) => record.state === 'started';
  return { sequence, at: iso(at), kind, tasks: [...records.filter((record) => !isOpen(record)), ...records.filter(isOpen)] };
}
