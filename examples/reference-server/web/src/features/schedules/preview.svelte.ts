import { isAbort } from '../../api/errors.ts';
import { api } from '../../app/api.ts';
import { type Draft, timingOf } from './draft.ts';

const QUIET_MS = 300;
const COUNT = 5;

/** Asks the server what a timing means, once its author pauses. */
export class Preview {
  words = $state('');
  times = $state.raw<string[]>([]);
  error = $state.raw<unknown>(null);
  isAsking = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #controller: AbortController | null = null;

  ask(draft: Draft): void {
    this.stop();
    this.isAsking = true;
    this.#timer = setTimeout(() => void this.#ask(draft), QUIET_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    this.#controller = null;
  }

  async #ask(draft: Draft): Promise<void> {
    const controller = new AbortController();
    this.#controller = controller;
    try {
      const body = { timing: timingOf(draft), count: COUNT };
      const answer = await api.post('/schedules/preview', { body, signal: controller.signal });
      this.words = answer.description;
      this.times = answer.times;
      this.error = null;
    } catch (error) {
      if (isAbort(error) || controller.signal.aborted) return;
      this.error = error instanceof SyntaxError ? new Error('The events are not valid JSON yet.') : error;
      this.times = [];
    } finally {
      if (this.#controller === controller) this.isAsking = false;
    }
  }
}
