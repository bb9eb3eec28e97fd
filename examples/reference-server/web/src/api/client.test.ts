import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Client } from './client.ts';
import { ApiError, byPointer, retryAfter } from './errors.ts';
import { follow, type LiveState } from './live.ts';

type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | Error | DOMException;

const calls: { url: string; init: RequestInit }[] = [];
let answers: Answer[] = [];
const onSignedOut = vi.fn();
const sleep = vi.fn(() => Promise.resolve());

const fetchFake: typeof fetch = async (url, init) => {
  calls.push({ url: String(url), init: init ?? {} });
  const answer = answers.shift();
  if (!answer) throw new Error(`no answer is prepared for ${url}`);
  if (!('status' in answer)) throw answer;
  const body = answer.body === undefined ? null : typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
  return new Response(body, { status: answer.status, headers: answer.headers });
};

function make(): Client {
  const client = new Client({ fetch: fetchFake, onSignedOut, sleep, random: () => 0, now: () => 0 });
  client.setToken('old');
  return client;
}

const header = (index: number, name: string) => new Headers(calls[index]!.init.headers).get(name);

beforeEach(() => {
  calls.length = 0;
  answers = [];
  onSignedOut.mockClear();
  sleep.mockClear();
});

describe('Client', () => {
  it('sends the token, the query without its empty parts, and the key', async () => {
    answers = [{ status: 200, body: { ok: true } }];
    const call = { method: 'POST' as const, query: { q: '', limit: 5, cursor: null }, body: { a: 1 }, idempotencyKey: 'k' };
    expect(await make().json('/workflows', call)).toEqual({ ok: true });
    expect(calls[0]!.url).toBe('/api/v1/workflows?limit=5');
    expect(header(0, 'authorization')).toBe('Bearer old');
    expect(header(0, 'idempotency-key')).toBe('k');
    expect(calls[0]!.init.body).toBe('{"a":1}');
  });

  it('sends text as it is', async () => {
    answers = [{ status: 201, body: {} }];
    await make().json('/workflows', { method: 'POST', body: 'do: []', contentType: 'application/yaml' });
    expect(calls[0]!.init.body).toBe('do: []');
    expect(header(0, 'content-type')).toBe('application/yaml');
  });

  it('refreshes once for calls that fail together, and repeats them with the new token', async () => {
    answers = [
      { status: 401, body: {} },
      { status: 401, body: {} },
      { status: 200, body: { access_token: 'new' } },
      { status: 200, body: 1 },
      { status: 200, body: 2 },
    ];
    const client = make();
    await Promise.all([client.json('/a'), client.json('/b')]);
    expect(calls.filter((call) => call.url.includes('/auth/refresh'))).toHaveLength(1);
    expect(header(2, 'authorization')).toBeNull();
    expect(header(3, 'authorization')).toBe('Bearer new');
    expect(onSignedOut).not.toHaveBeenCalled();
  });

  it('ends the session when it cannot be refreshed, and when the new token is refused too', async () => {
    answers = [{ status: 401, body: {} }, { status: 401, body: { code: 'session_expired' } }];
    await expect(make().json('/a')).rejects.toMatchObject({ status: 401 });
    answers = [{ status: 401, body: {} }, { status: 200, body: { access_token: 'new' } }, { status: 401, body: {} }];
    await expect(make().json('/a')).rejects.toMatchObject({ status: 401 });
    expect(onSignedOut).toHaveBeenCalledTimes(2);
  });

  it('keeps the session when the refresh only failed to get through', async () => {
    answers = [{ status: 401, body: {} }, new TypeError('network')];
    await expect(make().json('/a')).rejects.toMatchObject({ code: 'unreachable' });
    expect(onSignedOut).not.toHaveBeenCalled();
  });

  it('waits as long as the server asks, then tries again', async () => {
    answers = [{ status: 429, headers: { 'retry-after': '2' } }, { status: 503 }, { status: 200, body: 'x' }];
    await make().send('/a');
    expect(sleep.mock.calls.map(([ms]: unknown[]) => ms)).toEqual([2000, 1000]);
  });

  it('repeats no call that could create twice, and waits for no longer than a person would', async () => {
    answers = [{ status: 503 }];
    await expect(make().send('/a', { method: 'POST', body: {} })).rejects.toBeInstanceOf(ApiError);
    answers = [{ status: 429, headers: { 'retry-after': '3600' } }];
    await expect(make().send('/a')).rejects.toMatchObject({ retryAfterMs: 3_600_000 });
    expect(sleep).not.toHaveBeenCalled();
  });

  it('turns a problem document into an error that forms can place', async () => {
    const errors = [{ pointer: '/email', detail: 'is no address', hint: 'write you@example.com' }, { detail: 'and more' }];
    answers = [{ status: 422, body: { code: 'validation_failed', detail: 'two mistakes', errors, request_id: 'r' } }];
    const error = await make().send('/a').catch((caught: unknown) => caught as ApiError);
    expect(error).toMatchObject({ status: 422, code: 'validation_failed', message: 'two mistakes', requestId: 'r' });
    expect(byPointer((error as ApiError).items)).toEqual({ '/email': 'is no address. write you@example.com', '': 'and more' });
  });

  it('has words for answers that are no problem documents', async () => {
    answers = [{ status: 502, body: '<html>' }];
    await expect(make().send('/a')).rejects.toThrow(/server failed/);
    answers = [new TypeError('failed to fetch')];
    await expect(make().send('/a')).rejects.toMatchObject({ status: 0, code: 'unreachable' });
  });

  it('lets an abort through as it is', async () => {
    answers = [new DOMException('left', 'AbortError')];
    await expect(make().send('/a')).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('retryAfter', () => {
  it('reads seconds and dates', () => {
    expect(retryAfter('3', 0)).toBe(3000);
    expect(retryAfter('Thu, 01 Jan 1970 00:00:05 GMT', 1000)).toBe(4000);
    expect(retryAfter('soon', 0)).toBeNull();
    expect(retryAfter(null, 0)).toBeNull();
  });
});

describe('follow', () => {
  it('connects again where it left off, until the last message', async () => {
    const stream = (body: string) => ({ status: 200, body, headers: { 'content-type': 'text/event-stream' } });
    answers = [
      stream('retry: 1\nid: 1\nevent: a\ndata: 1\n\n'),
      { status: 502 },
      stream('id: 2\nevent: end\ndata: 2\n\ndata: never\n\n'),
    ];
    const seen: string[] = [];
    const states: LiveState[] = [];
    await follow(make(), {
      path: '/stream',
      signal: new AbortController().signal,
      onMessage: (message) => seen.push(message.data),
      onState: (state) => states.push(state),
      isLast: (message) => message.event === 'end',
    });
    expect(seen).toEqual(['1', '2']);
    expect([0, 1, 2].map((index) => header(index, 'last-event-id'))).toEqual([null, '1', '1']);
    expect(states).toEqual(['connecting', 'live', 'lost', 'connecting', 'lost', 'connecting', 'live', 'ended']);
  });

  it('gives up when it is refused', async () => {
    answers = [{ status: 404, body: { code: 'not_found' } }];
    const options = { path: '/x', signal: new AbortController().signal, onMessage: () => undefined };
    await expect(follow(make(), options)).rejects.toMatchObject({ status: 404 });
  });
});
