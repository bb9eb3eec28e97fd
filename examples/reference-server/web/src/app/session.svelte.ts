import { ApiError } from '../api/errors.ts';
import type { Myself, SignedIn, SignUpRequest } from '../api/types.ts';
import { api, client, onSignedOut } from './api.ts';
import { clearCache } from './resource.svelte.ts';

type Member = Pick<Myself, 'user' | 'tenant'>;
type Status = 'starting' | 'in' | 'out' | 'unreachable';

/** Who is signed in. The server keeps the session in a cookie that scripts cannot read. */
class Session {
  status = $state<Status>('starting');
  member = $state.raw<Member | null>(null);
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
      this.member = await api.get('/auth/me');
      this.status = 'in';
    } catch (error) {
      const isOut = error instanceof ApiError && error.status === 401;
      this.status = isOut ? 'out' : 'unreachable';
    }
  }

  async signIn(email: string, password: string): Promise<void> {
    const body = { email, password };
    this.#enter(await api.post('/auth/sign-in', { query: { session: 'cookie' }, body, anonymous: true }));
  }

  async signUp(body: SignUpRequest): Promise<void> {
    this.#enter(await api.post('/auth/sign-up', { query: { session: 'cookie' }, body, anonymous: true }));
  }

  async signOut(): Promise<void> {
    await api.post('/auth/sign-out');
    this.#leave();
    this.#tabs?.postMessage('changed');
  }

  #enter({ user, tenant, session }: SignedIn): void {
    clearCache();
    client.setToken(session.access_token);
    this.member = { user, tenant };
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
