import { address } from '../../api/api.ts';
import { follow, type LiveState } from '../../api/live.ts';
import { isAbort } from '../../api/errors.ts';
import type { Execution, ExecutionEvent, ExecutionStatus } from '../../api/types.ts';
import { api, client } from '../../app/api.ts';
import { isInnermost, isWaiting, Timeline } from '../../timeline/model.ts';
import { isOver } from '../../ui/shapes.ts';

const PAGE = 500;
const TICK_MS = 100;
const TICK_MS_CALM = 1_000;
/** How often the place in a queue is looked at, of which no event tells. */
const QUEUE_MS = 3_000;
/** Answers say the time to the second only, so a smaller difference means nothing. */
const SKEW_MS_MIN = 2_000;

/** One execution as its page shows it: first its history, then what happens. */
export class ExecutionView {
  execution = $state.raw<Execution | null>(null);
  error = $state.raw<unknown>(null);
  live = $state<LiveState>('connecting');
  /** The server's time as far as we know it; stands still once the execution has ended. */
  now = $state(Date.now());
  /** Changes with the timeline, which is kept out of the reactive state: it may be large. */
  revision = $state(0);
  readonly timeline = new Timeline();

  readonly id: string;
  readonly #controller = new AbortController();
  #skew = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #queueTimer: ReturnType<typeof setTimeout> | undefined;
  #frame = 0;
  #isLoaded = false;

  constructor(id: string) {
    this.id = id;
  }

  /** The status, ahead of the server's summary where the events say more. */
  get status(): ExecutionStatus {
    void this.revision;
    const status = this.execution?.status ?? 'pending';
    if (isOver(status) || !this.#isLoaded || this.timeline.size === 0) return status;
    if (this.timeline.orders.isSuspended) return 'suspended';
    const open = this.timeline.rows().filter(isInnermost);
    if (open.length === 0) return status === 'pending' ? status : 'running';
    return open.every(isWaiting) ? 'waiting' : 'running';
  }

  get from(): number {
    void this.revision;
    return this.timeline.from ?? (this.execution ? Date.parse(this.execution.started_at) : this.now);
  }

  async start(): Promise<void> {
    try {
      await this.#fetch();
      this.#tick();
      await this.#history();
      await this.#follow();
    } catch (error) {
      if (!isAbort(error) && !this.#controller.signal.aborted) this.error = error;
    }
  }

  stop(): void {
    this.#controller.abort();
    clearInterval(this.#timer);
    clearTimeout(this.#queueTimer);
    cancelAnimationFrame(this.#frame);
  }

  /** Takes note of what somebody did to the execution; one that had ended may go on. */
  async catchUp(): Promise<void> {
    // It may have ended again by now, so the history must be read on in any case.
    if (this.live === 'ended') await this.start();
    else await this.#fetch();
  }

  /** Takes note of a migration, which the server's answers may tell a moment later. */
  setVersion(version: string): void {
    const execution = this.execution!;
    this.execution = { ...execution, workflow: { ...execution.workflow, version } };
  }

  get #path(): string {
    return address('/executions/{id}', { path: { id: this.id } });
  }

  async #fetch(): Promise<void> {
    const response = await client.send(this.#path, { signal: this.#controller.signal });
    const date = Date.parse(response.headers.get('date') ?? '');
    const skew = Number.isNaN(date) ? 0 : date - Date.now();
    this.#skew = SKEW_MS_MIN < Math.abs(skew) ? skew : 0;
    this.execution = (await response.json()) as Execution;
    this.now = Date.now() + this.#skew;
    clearTimeout(this.#queueTimer);
    // A look that fails is the last: the stream says when the server is away.
    if (this.execution.queued) this.#queueTimer = setTimeout(() => void this.#fetch().catch(() => undefined), QUEUE_MS);
  }

  async #history(): Promise<void> {
    for (;;) {
      const page = await api.get('/executions/{id}/events', {
        path: { id: this.id },
        query: { after: this.timeline.last, limit: PAGE },
        signal: this.#controller.signal,
      });
      const before = this.timeline.last;
      for (const event of page.items) this.timeline.apply(event);
      this.revision += 1;
      if (!page.next_cursor || this.timeline.last === before) break;
    }
    this.#isLoaded = true;
  }

  /** Follows it to its end; an end in the middle of the history is not the last. */
  async #follow(): Promise<void> {
    while (!this.#controller.signal.aborted) {
      const isOld = this.timeline.isEnded && !isOver(this.execution!.status);
      if (isOld) await this.#fetch();
      if (this.timeline.isEnded && isOver(this.execution!.status)) {
        this.live = 'ended';
        return;
      }
      await this.#stream();
      this.#draw();
    }
  }

  async #stream(): Promise<void> {
    await follow(client, {
      path: `${this.#path}/events`,
      lastEventId: String(this.timeline.last),
      signal: this.#controller.signal,
      onState: (state) => (this.live = state),
      onMessage: (message) => {
        if (this.timeline.apply(JSON.parse(message.data) as ExecutionEvent)) this.#draw();
      },
      isLast: (message) => message.event === 'execution.ended',
    });
  }

  /** Any number of events in one frame make one drawing. */
  #draw(): void {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.revision += 1;
      this.now = Math.max(Date.now() + this.#skew, this.timeline.until);
    });
  }

  #tick(): void {
    const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      if (this.timeline.isEnded) clearInterval(this.#timer);
      else if (!document.hidden) this.now = Math.max(Date.now() + this.#skew, this.timeline.until);
    }, isCalm ? TICK_MS_CALM : TICK_MS);
  }
}
