import { api } from './api.ts';

/** How many human tasks wait for the member; the server counts up to a bound. */
class Inbox {
  total = $state(0);
  #isAsking = false;

  get words(): string {
    return this.total < 100 ? String(this.total) : '99+';
  }

  /** Counts again; a failure leaves the last count, which is no more than a hint. */
  async refresh(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const { open, claimed } = await api.get('/tasks/counts');
      this.total = open + claimed;
    } catch {
      // The page that is open says what is wrong with the server.
    } finally {
      this.#isAsking = false;
    }
  }
}

export const inbox = new Inbox();
