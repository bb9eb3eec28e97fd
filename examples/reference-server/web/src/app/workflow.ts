import type { Workflow } from '../api/types.ts';
import { api } from './api.ts';

/** Fetches a version of a workflow; the latest where none is named. */
export function fetchWorkflow(
  { namespace, name, version }: { namespace: string; name: string; version: string },
  signal: AbortSignal,
): Promise<Workflow> {
  return version
    ? api.get('/workflows/{namespace}/{name}/versions/{version}', { path: { namespace, name, version }, signal })
    : api.get('/workflows/{namespace}/{name}', { path: { namespace, name }, signal });
}
