import { ApiError, errorOf, isAbort, unreachable } from './errors.ts';
import type { Tokens } from './types.ts';

export const BASE = '/api/v1';
const RETRIES_MAX = 2;
const RETRY_WAIT_MS_MAX = 10_000;

export interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  query?: Record<string, string | number | null | undefined>;
  /** Sent as JSON, unless `contentType` says that it is text of another kind. */
  body?: unknown;
  contentType?: string;
  accept?: string;
  /** Present on calls that create, so that they can be repeated. */
  idempotencyKey?: string;
  /** The `ETag` of what is replaced. */
  ifMatch?: string | null;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Sends no token: the calls that make a session. */
  anonymous?: boolean;
}

export interface ClientOptions {
  fetch: typeof fetch;
  /** The session has ended and cannot be refreshed. */
  onSignedOut: () => void;
  sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  random?: () => number;
  now?: () => number;
}

/** The one way to the API: credentials, typed errors, repeats. The token is only in memory. */
export class Client {
  #token: string | null = null;
  #refreshing: Promise<boolean> | null = null;
  readonly #options: Required<ClientOptions>;

  constructor(options: ClientOptions) {
    this.#options = { sleep, random: Math.random, now: Date.now, ...options };
  }

  setToken(token: string | null): void {
    this.#token = token;
  }

  async json<T>(path: string, call: Call = {}): Promise<T> {
    const response = await this.send(path, call);
    return (response.status === 204 ? undefined : await response.json()) as T;
  }

  /** Sends a call; resolves only with a 2xx answer, throws `ApiError` otherwise. */
  async send(path: string, call: Call = {}): Promise<Response> {
    const { fetch, random, now, sleep } = this.#options;
    const isRepeatable = !call.method || call.method === 'GET' || call.idempotencyKey !== undefined;
    let isRefreshed = false;
    for (let attempt = 0; ; ) {
      let response: Response;
      try {
        response = await fetch(address(path, call.query), this.#init(call));
      } catch (error) {
        if (isAbort(error)) throw error;
        throw unreachable();
      }
      if (response.ok) return response;
      const error = await errorOf(response, now());
      if (error.status === 401 && !call.anonymous) {
        if (!isRefreshed && (await this.refresh())) {
          isRefreshed = true;
          continue;
        }
        this.#token = null;
        this.#options.onSignedOut();
        throw error;
      }
      const isBusy = error.status === 429 || error.status === 503;
      const wait = error.retryAfterMs ?? 500 * 2 ** attempt;
      if (!isBusy || !isRepeatable || attempt >= RETRIES_MAX || RETRY_WAIT_MS_MAX < wait) throw error;
      attempt += 1;
      // Spread, so that many tabs do not return in the same moment.
      await sleep(wait * (1 + random() * 0.25), call.signal);
    }
  }

  /** Gets a new token by the session cookie; false when there is no session any more. */
  refresh(): Promise<boolean> {
    this.#refreshing ??= exclusively(() => this.#refresh()).finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<boolean> {
    try {
      const tokens = await this.json<Tokens>('/auth/refresh', {
        method: 'POST',
        query: { session: 'cookie' },
        anonymous: true,
      });
      this.#token = tokens.access_token;
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status !== 0 && error.status < 500) return false;
      throw error;
    }
  }

  #init(call: Call): RequestInit {
    const headers = new Headers(call.headers);
    headers.set('accept', call.accept ?? 'application/json');
    if (this.#token && !call.anonymous) headers.set('authorization', `Bearer ${this.#token}`);
    if (call.ifMatch) headers.set('if-match', call.ifMatch);
    if (call.idempotencyKey) headers.set('idempotency-key', call.idempotencyKey);
    let body: string | null = null;
    if (call.body !== undefined) {
      headers.set('content-type', call.contentType ?? 'application/json');
      body = call.contentType ? String(call.body) : JSON.stringify(call.body);
    }
    return {
      method: call.method ?? 'GET',
      headers,
      body,
      signal: call.signal ?? null,
      credentials: 'same-origin',
    };
  }
}

/** A key for one attempt of a person to create something; repeats of the call keep it. */
export function idempotencyKey(): string {
  // `crypto.randomUUID` is missing on plain HTTP beyond localhost.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function address(path: string, query: Call['query'] = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return `${BASE}${path}${text ? `?${text}` : ''}`;
}

/**
 * Each refresh spends the cookie, and a spent one ends the session: two tabs must not send the
 * same one.
 */
function exclusively<T>(work: () => Promise<T>): Promise<T> {
  const locks = globalThis.navigator?.locks;
  return locks ? (locks.request('auterity.refresh', work) as Promise<T>) : work();
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException('the call was given up', 'AbortError'));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
  });
}
