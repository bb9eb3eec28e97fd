import { Api } from '../api/api.ts';
import { Client } from '../api/client.ts';
import { clearCache } from './resource.svelte.ts';

type Listener = () => void;
const listeners = new Set<Listener>();

/** The app's only client: for streams, and under `api`. */
export const client = new Client({
  fetch: (...call) => globalThis.fetch(...call),
  onSignedOut: () => {
    clearCache();
    for (const listener of listeners) listener();
  },
});

/** The calls of the OpenAPI document. */
export const api = new Api(client);

export function onSignedOut(listener: Listener): void {
  listeners.add(listener);
}
