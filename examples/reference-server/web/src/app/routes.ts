import type { Component } from 'svelte';

type Page = Component<any>;

export interface Match {
  load: () => Promise<{ default: Page }>;
  parameters: Record<string, string>;
}

interface Route {
  pattern: string;
  load: Match['load'];
}

const ROUTES: Route[] = [
  { pattern: '/workflows', load: () => import('../features/workflows/WorkflowsPage.svelte') },
  { pattern: '/workflows/new', load: () => import('../features/workflows/WorkflowPage.svelte') },
  { pattern: '/workflows/:namespace/:name', load: () => import('../features/workflows/WorkflowPage.svelte') },
  { pattern: '/workflows/:namespace/:name/start', load: () => import('../features/start/StartPage.svelte') },
  { pattern: '/tasks', load: () => import('../features/tasks/TasksPage.svelte') },
  { pattern: '/tasks/:id', load: () => import('../features/tasks/TaskPage.svelte') },
  { pattern: '/executions', load: () => import('../features/executions/ExecutionsPage.svelte') },
  { pattern: '/operations', load: () => import('../features/bulk/OperationsPage.svelte') },
  { pattern: '/operations/:id', load: () => import('../features/bulk/OperationPage.svelte') },
  { pattern: '/faults', load: () => import('../features/faults/FaultsPage.svelte') },
  { pattern: '/schedules', load: () => import('../features/schedules/SchedulesPage.svelte') },
  { pattern: '/schedules/new', load: () => import('../features/schedules/ScheduleForm.svelte') },
  { pattern: '/schedules/:id', load: () => import('../features/schedules/SchedulePage.svelte') },
  { pattern: '/schedules/:id/edit', load: () => import('../features/schedules/ScheduleForm.svelte') },
  { pattern: '/executions/:id', load: () => import('../features/executions/ExecutionPage.svelte') },
];

/** The page for a path; null when there is none. */
export function match(path: string): Match | null {
  const parts = path.replace(/\/+$/, '').split('/');
  for (const route of ROUTES) {
    const wanted = route.pattern.split('/');
    if (wanted.length !== parts.length) continue;
    const parameters: Record<string, string> = {};
    const isMatch = wanted.every((part, index) => {
      if (!part.startsWith(':')) return part === parts[index];
      const value = decode(parts[index]!);
      if (!value) return false;
      parameters[part.slice(1)] = value;
      return true;
    });
    if (isMatch) return { load: route.load, parameters };
  }
  return null;
}

/** The page of a guest. */
export function door(path: string): Promise<{ default: Page }> {
  return path === '/sign-up'
    ? import('../features/auth/SignUp.svelte')
    : import('../features/auth/SignIn.svelte');
}

/** Fetches a page's code before its link is pressed. */
export function preload(path: string): void {
  void match(path)?.load().catch(() => undefined);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}
