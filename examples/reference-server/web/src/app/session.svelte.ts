import { ApiError } from '../api/errors.ts';
import type { Membership, SignedIn } from '../api/types.ts';
import { client, onSignedOut } from './api.ts';
import { clearCache } from './resource.svelte.ts';

type Status = 'starting' | 'in' | 'out' | 'unreachable';

export interface SignUp {
  email: string;
  password: string;
  tenant: { name: string; slug: string };
}

/** Who is signed in. The server keeps the session in a cookie that scripts cannot read. */
class Session {
  status = $state<Status>('starting');
  member = $state.raw<Membership | null>(null);
  readonly #tabs = 'BroadcastChannel' in globalThis ? new BroadcastChannel('auterity.session') : null;

  constructor() {
    onSignedOut(() => this.#leave());
    // Signed out, or in as somebody else, in another tab: nothing of the old one may stay.
    if (this.#tabs) this.#tabs.onmessage = () => location.reload();
  }

  async start(): Promise<void> {
    this.status = 'starting';
    try {
      if (!(await client.refresh())) return this.#leave();
      this.member = await client.json<Membership>('/auth/me');
      this.status = 'in';
    } catch (error) {
      const isOut = error instanceof ApiError && error.status === 401;
      this.status = isOut ? 'out' : 'unreachable';
    }
  }

  async signIn(email: string, password: string): Promise<void> {
    await this.#enter('/auth/sign-in', { email, password });
  }

  async signUp(form: SignUp): Promise<void> {
    await this.#enter('/auth/sign-up', form);
  }

  async signOut(): Promise<void> {
    await client.send('/auth/sign-out', { method: 'POST' });
    this.#leave();
    this.#tabs?.postMessage('changed');
  }

  async #enter(path: string, body: unknown): Promise<void> {
    const answer = await client.json<SignedIn>(path, {
      method: 'POST',
      query: { session: 'cookie' },
      body,
      anonymous: true,
    });
    clearCache();
    client.setToken(answer.session.access_token);
    this.member = { user: answer.user, tenant: answer.tenant, role: answer.role };
    this.status = 'in';
    this.#tabs?.postMessage('changed');
  }

  #leave(): void {
    client.setToken(null);
    clearCache();
    this.member = null;
    this.status = 'out';
  }
}

export const session = new Session();
