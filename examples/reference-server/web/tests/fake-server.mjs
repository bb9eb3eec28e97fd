// A stand-in for the server while the UI is developed: answers the API's contract from memory and
// serves a build with the product's security policy. Test code, never shipped.
//   node tests/fake-server.mjs [PORT] [BUILD FOLDER]
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { approval, eventOf, id, importing, invoice, rounds } from './fake-executions.mjs';

const PORT = Number(process.argv[2] ?? 8080);
const DIST = process.argv[3] ?? new URL('../dist', import.meta.url).pathname;
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.html': 'text/html', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };

let account = null;
let signedIn = false;
const workflows = new Map();
const executions = new Map();
const streams = new Set();

const iso = (ms) => new Date(ms).toISOString();
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function send(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === undefined ? '' : JSON.stringify(body));
}

function refuse(response, status, code, detail, errors) {
  send(response, status, { title: code, status, code, detail, errors, request_id: 'req_fake' }, { 'content-type': 'application/problem+json' });
}

function session(status, response) {
  signedIn = true;
  send(response, status, { user: account.user, tenant: account.tenant, session: { access_token: 'fake', token_type: 'Bearer', expires_in: 600 } },
    { 'set-cookie': 'auterity_session=fake; HttpOnly; SameSite=Strict; Path=/' });
}

function validate(text) {
  const errors = [];
  text.split('\n').forEach((line, index) => {
    const column = line.indexOf('calls:') + 1;
    if (column) errors.push({ pointer: `/do/${index}`, code: 'unknown_task', line: index + 1, column, end_line: index + 1, end_column: column + 5, detail: 'unknown kind of task: calls', hint: 'did you mean call?' });
    const jump = /then: (nowhere)/.exec(line);
    if (jump) errors.push({ pointer: '/do', code: 'unknown_jump', line: index + 1, column: jump.index + 7, end_line: index + 1, end_column: jump.index + 14, detail: 'no task here is called nowhere', hint: 'name a task of the same list, or continue, exit, end' });
  });
  return errors;
}

function deploy(text, title) {
  const field = (name) => new RegExp(`^  ${name}: *'?([^'\\n]*)'?`, 'm').exec(text)?.[1];
  const [namespace, name, version] = ['namespace', 'name', 'version'].map(field);
  const key = `${namespace}/${name}`;
  const versions = workflows.get(key) ?? [];
  const hash = createHash('sha256').update(text).digest('hex');
  const same = versions.find((item) => item.version === version);
  if (same) return { workflow: same, isNew: false, isConflict: same.hash !== hash };
  const schema = !text.includes('schema:') ? null : {
    type: 'object',
    required: ['supplier', 'number', 'amount', 'currency'],
    properties: {
      supplier: { type: 'string', title: 'Supplier', default: 'Northwind Paper' },
      number: { type: 'string', title: 'Invoice number', default: 'NW-20417' },
      amount: { type: 'number', title: 'Amount', description: 'From 1,000 on, every approver is asked.', default: 1840.5 },
      currency: { type: 'string', title: 'Currency', enum: ['EUR', 'USD', 'GBP'], default: 'EUR' },
      approvers: { type: 'array', title: 'Approvers', items: { type: 'string' }, default: ['amira@example.com', 'jonas@example.com'] },
    },
  };
  const workflow = { namespace, name, version, title: title ?? field('title') ?? null, summary: field('summary') ?? null, created_at: iso(Date.now()), hash, format: 'yaml', definition: text, input_schema: schema };
  workflows.set(key, [workflow, ...versions]);
  return { workflow, isNew: true };
}

function start(key, version, input, script, startedAt = Date.now()) {
  const [namespace, name] = key.split('/');
  const execution = {
    id: id('exe'), workflow: { namespace, name, version }, status: 'running', started_at: iso(startedAt), ended_at: null, duration_ms: null,
    waiting_for: null, input, output: null, error: null, current_tasks: [], attributes: {}, parent: null, events: [], listeners: new Set(), script, startedAt, begun: new Map(),
  };
  executions.set(execution.id, execution);
  advance(execution);
  return execution;
}

function advance(execution) {
  const { script, startedAt } = execution;
  while (execution.events.length < script.lines.length) {
    const line = script.lines[execution.events.length];
    const delay = startedAt + line[0] - Date.now();
    if (0 < delay) {
      execution.timer = setTimeout(() => advance(execution), Math.min(delay, 1e9));
      break;
    }
    append(execution, line);
  }
}

function append(execution, line) {
  const event = eventOf(line, execution.events.length + 1, execution.startedAt, execution.begun);
  execution.events.push(event);
  for (const change of event.tasks) execution.status = ['wait', 'listen'].includes(change.kind) && change.state === 'started' ? 'waiting' : 'running';
  execution.waiting_for = execution.status === 'waiting' ? 'time' : null;
  if (event.kind === 'execution.ended') {
    Object.assign(execution, { status: execution.script.status, output: execution.script.output ?? null, error: execution.script.error ?? null, waiting_for: null, ended_at: event.at, duration_ms: Date.parse(event.at) - execution.startedAt });
  }
  for (const listener of execution.listeners) listener(event);
  for (const stream of streams) stream.write(`event: execution\ndata: ${JSON.stringify(summary(execution))}\n\n`);
}

const summary = ({ id: own, workflow, status, started_at, ended_at, duration_ms, waiting_for }) => ({ id: own, workflow, status, started_at, ended_at, duration_ms, waiting_for });
const full = (execution) => ({ ...summary(execution), input: execution.input, output: execution.output, error: execution.error, current_tasks: [], attributes: execution.attributes, parent: null });

function seed() {
  const definition = (namespace, name, title, text) => `document:\n  dsl: '1.0.3'\n  namespace: ${namespace}\n  name: ${name}\n  version: '1.2.0'\n  title: ${title}\n  summary: ${text}\ndo:\n  - open:\n      set:\n        files: 12\n`;
  deploy(definition('operations', 'nightly-import', 'Nightly import', 'Fetches what partners sent and files it, again until it works.'));
  deploy(definition('people', 'contract-approval', 'Contract approval', 'Waits for the signature of both sides, for weeks if need be.'));
  const now = Date.now();
  for (let index = 70; 0 < index; index -= 1) {
    const at = now - index * 613_000 - 4e5;
    const fails = index % 9 === 4;
    const script = fails ? importing() : rounds(3 + ((index * 37) % 400));
    start('operations/nightly-import', '1.2.0', { day: index }, script, at);
  }
  for (let index = 6; 0 < index; index -= 1) start('people/contract-approval', '1.2.0', {}, approval(), now - index * 40_000_000 - 5e4);
}

function stream(request, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': hello\n\n');
  const beat = setInterval(() => response.write(': beat\n\n'), 15_000);
  request.on('close', () => clearInterval(beat));
  return response;
}

function events(request, response, execution, url) {
  if (!request.headers.accept?.includes('event-stream')) {
    const after = Number(url.searchParams.get('after') ?? 0);
    const items = execution.events.slice(after, after + 500);
    return send(response, 200, { items, next_cursor: after + items.length < execution.events.length ? 'more' : null });
  }
  stream(request, response);
  const tell = (event) => {
    response.write(`id: ${event.sequence}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`);
    if (event.kind === 'execution.ended') response.end();
  };
  execution.events.slice(Number(request.headers['last-event-id'] ?? 0)).forEach(tell);
  execution.listeners.add(tell);
  request.on('close', () => execution.listeners.delete(tell));
}

async function api(request, response, url, body) {
  const path = url.pathname.replace('/api/v1', '');
  const route = `${request.method} ${path}`;
  if (route === 'POST /auth/refresh') return signedIn ? send(response, 200, { access_token: 'fake', token_type: 'Bearer', expires_in: 600 }) : refuse(response, 401, 'session_expired', 'sign in again');
  if (route === 'POST /auth/sign-up') {
    const form = JSON.parse(body);
    if (form.tenant.slug === 'taken') return refuse(response, 409, 'slug_taken', 'taken');
    account = { user: { id: id('usr'), email: form.email, created_at: iso(Date.now()) }, tenant: { id: id('ten'), ...form.tenant, created_at: iso(Date.now()) } };
    return session(201, response);
  }
  if (route === 'POST /auth/sign-in') return account && JSON.parse(body).email === account.user.email ? session(200, response) : refuse(response, 401, 'invalid_credentials', 'no');
  if (request.headers.authorization !== 'Bearer fake') return refuse(response, 401, 'unauthenticated', 'sign in');
  if (route === 'GET /auth/me') return send(response, 200, { ...account, role: 'owner' });
  if (route === 'POST /auth/sign-out') return (signedIn = false), send(response, 204);
  if (route === 'GET /stream') return streams.add(stream(request, response));
  if (route === 'POST /workflows/validate') return send(response, 200, { valid: validate(body).length === 0, errors: validate(body) });
  if (route === 'POST /workflows') {
    const errors = validate(body);
    if (errors.length) return refuse(response, 422, 'definition_invalid', 'the definition has mistakes', errors);
    const { workflow, isNew, isConflict } = deploy(body);
    if (isConflict) return refuse(response, 409, 'version_exists', 'this version exists with another content');
    if (executions.size === 0 && process.env.FAKE_SEED) seed();
    return send(response, isNew ? 201 : 200, withVersions(workflow));
  }
  if (route === 'GET /workflows') return send(response, 200, { items: list(url.searchParams.get('q') ?? ''), next_cursor: null });
  if (route === 'GET /executions') return send(response, 200, page(url));
  const [, kind, first, second, rest, last] = path.split('/');
  if (kind === 'workflows') {
    const versions = workflows.get(`${first}/${second}`);
    if (!versions) return refuse(response, 404, 'not_found', 'no such workflow');
    if (rest === 'versions' && !last) return send(response, 200, { items: versions.map(({ version, created_at, hash }) => ({ version, created_at, hash })) });
    if (rest === 'executions') {
      const { input } = JSON.parse(body);
      if (input.amount < 0) return refuse(response, 422, 'input_invalid', 'the input does not fit', [{ pointer: '/input/amount', detail: 'must be at least 0' }]);
      await wait(120);
      return send(response, 202, full(start(`${first}/${second}`, versions[0].version, input, input.amount ? invoice(input) : rounds(4))));
    }
    return send(response, 200, withVersions(versions.find((item) => !last || item.version === last)));
  }
  const execution = executions.get(first);
  if (!execution) return refuse(response, 404, 'not_found', 'no such execution');
  if (second === 'events') return events(request, response, execution, url);
  if (second === 'cancel') {
    clearTimeout(execution.timer);
    execution.script = { ...execution.script, status: 'cancelled', output: null };
    append(execution, [Date.now() - execution.startedAt, 'execution.cancel_requested', []]);
    append(execution, [Date.now() - execution.startedAt, 'execution.ended', []]);
    return send(response, 202, full(execution));
  }
  return send(response, 200, full(execution));
}

const withVersions = (workflow) => ({ ...workflow, versions: workflows.get(`${workflow.namespace}/${workflow.name}`).map((item) => item.version) });

function list(q) {
  return [...workflows.values()].map(([{ definition, input_schema, ...latest }]) => ({
    ...latest,
    recent: [...executions.values()].filter((item) => item.workflow.name === latest.name).sort((a, b) => a.startedAt - b.startedAt).slice(-60)
      .map((item) => ({ id: item.id, status: item.status, duration_ms: item.duration_ms })),
  })).filter((item) => `${item.namespace}/${item.name} ${item.title}`.toLowerCase().includes(q.toLowerCase()));
}

function page(url) {
  const workflow = url.searchParams.get('workflow');
  const status = url.searchParams.get('status');
  const from = Number(url.searchParams.get('cursor') ?? 0);
  const limit = Number(url.searchParams.get('limit') ?? 50);
  const all = [...executions.values()].sort((a, b) => b.startedAt - a.startedAt)
    .filter((item) => (!workflow || workflow === `${item.workflow.namespace}/${item.workflow.name}`) && (!status || status === item.status));
  return { items: all.slice(from, from + limit).map(summary), next_cursor: from + limit < all.length ? String(from + limit) : null };
}

async function asset(response, path) {
  const name = extname(path) ? path : '/index.html';
  try {
    const content = await readFile(join(DIST, name));
    const script = /<script>([\s\S]*?)<\/script>/.exec(content.toString());
    const hash = script ? createHash('sha256').update(script[1]).digest('base64') : '';
    response.writeHead(200, {
      'content-type': TYPES[extname(name)] ?? 'text/plain',
      'content-security-policy': `default-src 'none'; script-src 'self' 'sha256-${hash}'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
    });
    response.end(content);
  } catch {
    refuse(response, 404, 'not_found', 'nothing here');
  }
}

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  let body = '';
  for await (const chunk of request) body += chunk;
  try {
    if (url.pathname.startsWith('/api/')) await api(request, response, url, body);
    else await asset(response, url.pathname);
  } catch (error) {
    refuse(response, 500, 'internal', String(error));
  }
}).listen(PORT, '127.0.0.1', () => console.log(`fake server at http://127.0.0.1:${PORT}`));
