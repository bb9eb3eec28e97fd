import { isAbort, sentence } from '../../api/errors.ts';
import type { ProblemItem } from '../../api/types.ts';
import { api } from '../../app/api.ts';
import { mediaTypeOf } from '../../definition/version.ts';

const QUIET_MS = 350;

export type ValidatorState = 'idle' | 'checking' | 'checked' | 'failed';

/** Asks the server for the mistakes in a definition once its author pauses. */
export class Validator {
  problems = $state.raw<ProblemItem[]>([]);
  state = $state<ValidatorState>('idle');
  failure = $state('');
  #timer: ReturnType<typeof setTimeout> | undefined;
  #controller: AbortController | null = null;

  check(text: string): void {
    this.stop();
    if (!text.trim()) return;
    this.#timer = setTimeout(() => void this.#ask(text), QUIET_MS);
  }

  /** Mistakes that another call found. */
  show(problems: ProblemItem[]): void {
    this.stop();
    this.problems = problems;
    this.state = 'checked';
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    this.#controller = null;
  }

  async #ask(text: string): Promise<void> {
    const controller = new AbortController();
    this.#controller = controller;
    this.state = 'checking';
    try {
      const answer = await api.post('/workflows/validate', {
        body: { text, mediaType: mediaTypeOf(text) },
        signal: controller.signal,
      });
      if (controller.signal.aborted) return;
      this.problems = answer.errors;
      this.state = 'checked';
    } catch (error) {
      if (isAbort(error) || controller.signal.aborted) return;
      this.failure = sentence(error);
      this.state = 'failed';
    }
  }
}
