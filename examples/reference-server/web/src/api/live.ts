import type { Client } from './client.ts';
import { ApiError, isAbort } from './errors.ts';
import { SseParser, type SseMessage } from './sse.ts';

/** Twice the server's heartbeat and a bit: a quieter stream is a dead connection. */
const SILENCE_MS_MAX = 40_000;
/** A stream that ends after this long was let go on purpose, as tokens expire: no alarm. */
const CALM_MS_MIN = 5_000;
const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 15_000;

export type LiveState = 'connecting' | 'live' | 'lost' | 'ended';

export interface Follow {
  path: string;
  query?: Record<string, string | number>;
  lastEventId?: string;
  signal: AbortSignal;
  onMessage: (message: SseMessage) => void;
  onState?: (state: LiveState) => void;
  /** Says that the stream has told everything; otherwise an end is a lost connection. */
  isLast?: (message: SseMessage) => boolean;
}

/**
 * Follows an event stream until it ends, is aborted or is refused, connecting again where it
 * left off. Reads by `fetch`, because `EventSource` cannot send the bearer token.
 */
export async function follow(client: Client, options: Follow): Promise<void> {
  const { signal, onState } = options;
  let lastEventId = options.lastEventId ?? '';
  let wait = WAIT_MS_MIN;
  while (!signal.aborted) {
    onState?.('connecting');
    const attempt = new AbortController();
    const begun = Date.now();
    const stop = () => attempt.abort();
    signal.addEventListener('abort', stop, { once: true });
    try {
      const response = await client.send(options.path, {
        accept: 'text/event-stream',
        query: options.query,
        headers: lastEventId ? { 'last-event-id': lastEventId } : {},
        signal: attempt.signal,
      });
      onState?.('live');
      wait = WAIT_MS_MIN;
      const parser = new SseParser();
      for await (const text of pieces(response, attempt)) {
        for (const message of parser.push(text)) {
          if (message.id) lastEventId = message.id;
          options.onMessage(message);
          if (options.isLast?.(message)) {
            onState?.('ended');
            return;
          }
        }
        wait = parser.retryMs ?? WAIT_MS_MIN;
      }
      if (CALM_MS_MIN < Date.now() - begun && !attempt.signal.aborted) continue;
    } catch (error) {
      if (signal.aborted) return;
      const isFinal = error instanceof ApiError && 400 <= error.status && error.status < 500;
      if (isFinal && error.status !== 429) throw error;
      if (!isAbort(error) && !(error instanceof ApiError) && !(error instanceof TypeError)) throw error;
    } finally {
      signal.removeEventListener('abort', stop);
      attempt.abort();
    }
    onState?.('lost');
    await pause(wait * (1 + Math.random() * 0.25), signal);
    wait = Math.min(wait * 2, WAIT_MS_MAX);
  }
}

async function* pieces(response: Response, attempt: AbortController): AsyncGenerator<string> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let timer = setTimeout(() => attempt.abort(), SILENCE_MS_MAX);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => attempt.abort(), SILENCE_MS_MAX);
      yield value;
    }
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
