import { describe, expect, it } from 'vitest';
import { Api } from './api.ts';
import { Client } from './client.ts';

const calls: { url: string; init: RequestInit }[] = [];
const fetchFake: typeof fetch = async (url, init) => {
  calls.push({ url: String(url), init: init ?? {} });
  return new Response('{"items":[]}', { status: 200 });
};
const api = new Api(new Client({ fetch: fetchFake, onSignedOut: () => undefined }));

describe('Api', () => {
  it('puts names of any kind into the path', async () => {
    await api.get('/workflows/{namespace}/{name}', { path: { namespace: 'a/b', name: 'c d' } });
    expect(calls.at(-1)!.url).toBe('/api/v1/workflows/a%2Fb/c%20d');
  });

  it('sends documents as JSON and definitions as they are', async () => {
    await api.post('/executions/{id}/retry', { path: { id: 'exe_1' }, body: { from_task: '/', dry_run: true } });
    expect(calls.at(-1)!.init).toMatchObject({ method: 'POST', body: '{"from_task":"/","dry_run":true}' });
    await api.post('/workflows/validate', { body: { text: 'do: []', mediaType: 'application/yaml' } });
    expect(calls.at(-1)!.init.body).toBe('do: []');
    expect(new Headers(calls.at(-1)!.init.headers).get('content-type')).toBe('application/yaml');
  });

  it('compiles only what the OpenAPI document has', async () => {
    // @ts-expect-error There is no such path.
    await api.get('/nowhere');
    // @ts-expect-error This path takes no POST.
    await api.post('/executions');
    // @ts-expect-error The parameter is missing.
    await api.get('/executions/{id}').catch(() => undefined);
    // @ts-expect-error There is no such parameter of the query.
    await api.get('/executions', { query: { color: 'red' } });
    // @ts-expect-error The body has no such field.
    await api.post('/executions/{id}/retry', { path: { id: 'exe_1' }, body: { task: '/' } });
    // @ts-expect-error The answer has no such field.
    void (await api.get('/executions')).total;
    expect(calls.length).toBeGreaterThan(0);
  });
});
