import type { Problem, ProblemItem } from './types.ts';

/** A call that did not succeed: the server's problem document, or that it was not reached. */
export class ApiError extends Error {
  /** 0 when no answer came. */
  readonly status: number;
  readonly code: string;
  readonly items: ProblemItem[];
  readonly requestId: string | null;
  readonly retryAfterMs: number | null;

  constructor(status: number, problem: Problem, retryAfterMs: number | null = null) {
    super(problem.detail || problem.title || `the server answered ${status}`);
    this.name = 'ApiError';
    this.status = status;
    this.code = problem.code ?? 'unknown';
    this.items = problem.errors ?? [];
    this.requestId = problem.request_id ?? null;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The error of an answer whose status is not 2xx. */
export async function errorOf(response: Response, now: number): Promise<ApiError> {
  let problem: Problem = {};
  try {
    const body: unknown = await response.json();
    if (body && typeof body === 'object') problem = body as Problem;
  } catch {
    // A proxy's page, or nothing: the status alone must do.
  }
  if (!problem.detail && !problem.title) problem.detail = fallback(response.status);
  return new ApiError(response.status, problem, retryAfter(response.headers.get('retry-after'), now));
}

/** The error of a call that got no answer. */
export function unreachable(): ApiError {
  return new ApiError(0, {
    code: 'unreachable',
    detail: 'The server cannot be reached. Check the connection, then try again.',
  });
}

/** Milliseconds to wait by a `Retry-After` header: seconds or a date. */
export function retryAfter(value: string | null, now: number): number | null {
  if (!value) return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}

/** The mistakes of an answer by field. */
export function byPointer(items: ProblemItem[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const item of items) {
    const pointer = item.pointer ?? '';
    const text = item.hint ? `${item.detail}. ${item.hint}` : item.detail;
    found[pointer] = found[pointer] ? `${found[pointer]}; ${text}` : text;
  }
  return found;
}

/** A sentence for any thrown value. */
export function sentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text ? text[0]!.toUpperCase() + text.slice(1) : 'Something went wrong.';
}

/** Whether a call only ended because its page was left. */
export function isAbort(error: unknown): boolean {
  return error !== null && typeof error === 'object' && 'name' in error && error.name === 'AbortError';
}

function fallback(status: number): string {
  if (status === 403) return 'Your role does not allow this. Ask an owner of the organisation.';
  if (status === 404) return 'This does not exist, or not in your organisation.';
  if (status === 429) return 'Too many calls. Wait a moment, then try again.';
  if (status >= 500) return 'The server failed. Try again; if it stays, look at its log.';
  return `The server refused the call (${status}).`;
}
