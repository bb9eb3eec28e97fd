import { isAbort } from '../api/errors.ts';

const CACHE_MAX = 100;
/** The last answer of each call, shown while the next is under way. Emptied with the session. */
const cache = new Map<string, unknown>();

export function clearCache(): void {
  cache.clear();
}

/**
 * What a page shows of one call. `load` replaces it; a page that is left aborts the call, and a
 * known answer is shown at once and refreshed.
 */
export class Resource<T> {
  data = $state.raw<T | null>(null);
  error = $state.raw<unknown>(null);
  isLoading = $state(false);
  #controller: AbortController | null = null;

  async load(key: string, call: (signal: AbortSignal) => Promise<T>): Promise<void> {
    this.stop();
    const controller = new AbortController();
    this.#controller = controller;
    this.data = (cache.get(key) as T | undefined) ?? null;
    this.isLoading = true;
    try {
      const data = await call(controller.signal);
      if (controller.signal.aborted) return;
      this.set(key, data);
    } catch (error) {
      if (!isAbort(error) && !controller.signal.aborted) this.error = error;
    } finally {
      if (this.#controller === controller) this.isLoading = false;
    }
  }

  set(key: string, data: T): void {
    this.data = data;
    this.error = null;
    cache.delete(key);
    cache.set(key, data);
    const oldest = cache.keys().next();
    if (CACHE_MAX < cache.size && !oldest.done) cache.delete(oldest.value);
  }

  stop(): void {
    this.#controller?.abort();
    this.#controller = null;
  }
}
