import { tick } from 'svelte';

/** Where the app is. The address holds every filter, so that a page can be shared and reloaded. */
class Router {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));
  /** Asked before the page is left; false stays. */
  guard: (() => boolean) | null = null;

  constructor() {
    addEventListener('popstate', () => this.#read(true));
    document.addEventListener('click', (event) => this.#click(event));
  }

  go(address: string, options: { replace?: boolean } = {}): void {
    const url = new URL(address, location.href);
    if (url.pathname !== this.path && this.guard && !this.guard()) return;
    const isNewPage = url.pathname !== this.path;
    history[options.replace ? 'replaceState' : 'pushState'](null, '', url);
    this.#read(isNewPage);
  }

  /** Changes parts of the query; empty values leave it. */
  setQuery(changes: Record<string, string>): void {
    const query = new URLSearchParams(this.query);
    for (const [name, value] of Object.entries(changes)) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    this.go(this.path + (text ? `?${text}` : ''), { replace: true });
  }

  #read(isNewPage: boolean): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
    if (!isNewPage) return;
    this.guard = null;
    scrollTo(0, 0);
    document.getElementById('content')?.scrollTo(0, 0);
    // Screen readers hear the new page, and the next Tab starts at its top.
    void tick().then(() => document.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true }));
  }

  #click(event: MouseEvent): void {
    const isPlain = !event.defaultPrevented && event.button === 0;
    if (!isPlain || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.getAttribute('target') || link.hasAttribute('download')) return;
    const address = link.getAttribute('href');
    if (!address?.startsWith('/') || address.startsWith('//') || address.startsWith('/api/')) return;
    event.preventDefault();
    this.go(address);
  }
}

export const router = new Router();

/** The address of a workflow's page. */
export function workflowPath(workflow: { namespace: string; name: string }): string {
  return `/workflows/${encodeURIComponent(workflow.namespace)}/${encodeURIComponent(workflow.name)}`;
}

export function schedulePath(id: string): string {
  return `/schedules/${encodeURIComponent(id)}`;
}

/** The executions that failed in one way. */
export function faultPath(signature: string): string {
  return `/executions?filter=${encodeURIComponent(`fault:${signature}`)}`;
}

export function operationPath(id: string): string {
  return `/operations/${encodeURIComponent(id)}`;
}

export function taskPath(id: string): string {
  return `/tasks/${encodeURIComponent(id)}`;
}

export function executionPath(id: string): string {
  return `/executions/${encodeURIComponent(id)}`;
}
