import { idempotencyKey } from '../../../api/client.ts';
import { isAbort } from '../../../api/errors.ts';
import type { MigrateOutcome, RetryOutcome } from '../../../api/types.ts';
import { api } from '../../../app/api.ts';
import type { ExecutionView } from '../view.svelte.ts';
import { type Choice, inputBefore } from './actions.ts';

const QUIET_MS = 300;

/** One repair while its dialog is open: what is asked for, and what the server says it would do. */
export class Repair {
  reason = $state('');
  /** What the next task gets in place of a skipped one's output. */
  output = $state('{}');
  /** The task to go on from: its path, `/` for the start, or empty for the one that failed. */
  from = $state('');
  isEdited = $state(false);
  input = $state('{}');
  /** Empty: the present one. */
  version = $state('');
  plan = $state.raw<RetryOutcome | null>(null);
  verdict = $state.raw<MigrateOutcome | null>(null);
  /** Why it cannot be done, by the last dry run. */
  refusal = $state.raw<unknown>(null);
  isAsking = $state(false);
  isBusy = $state(false);
  failure = $state.raw<unknown>(null);

  readonly choice: Choice;
  readonly #view: ExecutionView;
  readonly #key = idempotencyKey();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #controller: AbortController | null = null;

  constructor(choice: Choice, view: ExecutionView) {
    this.choice = choice;
    this.#view = view;
    const hasFailed = view.status === 'faulted';
    this.from = choice.row?.path ?? (hasFailed && choice.action === 'retry' ? '' : '/');
    const before = choice.row ? inputBefore(view.timeline.rows(), choice.row.path, view.execution?.input) : {};
    this.output = textOf(before);
    this.prefill();
  }

  /** Whether everything is said that the server needs to know. */
  get isReady(): boolean {
    if (this.isBusy || this.isAsking) return false;
    if (this.choice.action === 'retry') return this.plan !== null;
    if (this.choice.action === 'migrate') return this.verdict?.maps === true && !this.verdict.done;
    return true;
  }

  /** Offers what the chosen task was probably given. */
  prefill(): void {
    const rows = this.#view.timeline.rows();
    const from = this.from || (this.plan?.from_task ?? '/');
    this.input = textOf(inputBefore(rows, from, this.#view.execution?.input));
  }

  /** Asks the server what would happen, once the person pauses. */
  ask(): void {
    this.stop();
    this.plan = null;
    this.verdict = null;
    this.refusal = null;
    const { action } = this.choice;
    if (action !== 'retry' && !(action === 'migrate' && this.version)) return;
    this.isAsking = true;
    this.#timer = setTimeout(() => void this.#ask(), QUIET_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    this.#controller = null;
    this.isAsking = false;
  }

  /** Does it; gives the id of the new execution after a fork, null when it failed. */
  async submit(): Promise<{ forked?: string } | null> {
    this.isBusy = true;
    this.failure = null;
    try {
      return await this.#submit();
    } catch (error) {
      this.failure = error;
      return null;
    } finally {
      this.isBusy = false;
    }
  }

  async #submit(): Promise<{ forked?: string }> {
    const { action, row } = this.choice;
    const path = { id: this.#view.id };
    const reason = this.reason.trim() || null;
    switch (action) {
      case 'skip': {
        const body = { task: row?.path ?? '', output: parse(this.output, 'output'), reason };
        await api.post('/executions/{id}/skip', { path, body });
        break;
      }
      case 'retry':
        await api.post('/executions/{id}/retry', { path, body: { ...this.#place(), reason } });
        break;
      case 'fork': {
        const body = { ...this.#place(), reason };
        const forked = await api.post('/executions/{id}/fork', { path, body, idempotencyKey: this.#key });
        return { forked: forked.id };
      }
      case 'migrate': {
        const { to, done } = await api.post('/executions/{id}/migrate', { path, body: { version: this.version, reason } });
        await this.#view.catchUp();
        if (done) this.#view.setVersion(to);
        return {};
      }
      default:
        await api.post(`/executions/{id}/${action}`, { path, body: { reason } });
    }
    await this.#view.catchUp();
    return {};
  }

  async #ask(): Promise<void> {
    const controller = new AbortController();
    this.#controller = controller;
    const options = { path: { id: this.#view.id }, signal: controller.signal };
    try {
      if (this.choice.action === 'retry') {
        const body = { ...this.#place(), dry_run: true };
        this.plan = await api.post('/executions/{id}/retry', { ...options, body });
      } else {
        const body = { version: this.version, dry_run: true };
        this.verdict = await api.post('/executions/{id}/migrate', { ...options, body });
      }
    } catch (error) {
      if (!isAbort(error) && !controller.signal.aborted) this.refusal = error;
    } finally {
      if (this.#controller === controller) this.isAsking = false;
    }
  }

  #place() {
    return {
      from_task: this.from || null,
      version: this.version || null,
      ...(this.isEdited ? { input: parse(this.input, 'input') } : {}),
    };
  }
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`The ${what} is not valid JSON: ${error instanceof Error ? error.message : error}`);
  }
}

function textOf(value: unknown): string {
  const isTruncated = typeof value === 'object' && value !== null && '$truncated' in value;
  return JSON.stringify(isTruncated ? {} : (value ?? {}), null, 2);
}
