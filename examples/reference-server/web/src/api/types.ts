/** The API's documents, as the server sends them. Times are RFC 3339 in UTC. */

export interface User {
  id: string;
  email: string;
  created_at: string;
}

export interface Tenant {
  id: string;
  name: string;
  slug: string;
  created_at: string;
}

export interface Tokens {
  access_token: string;
  token_type: 'Bearer';
  expires_in: number;
}

export interface Membership {
  user: User;
  tenant: Tenant;
  role?: string;
}

export interface SignedIn extends Membership {
  session: Tokens;
}

export interface ProblemItem {
  pointer?: string;
  detail: string;
  hint?: string;
  code?: string;
  line?: number;
  column?: number;
  end_line?: number;
  end_column?: number;
}

export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  instance?: string;
  code?: string;
  request_id?: string;
  errors?: ProblemItem[];
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export type ExecutionStatus =
  | 'pending'
  | 'running'
  | 'waiting'
  | 'completed'
  | 'faulted'
  | 'cancelled'
  | 'suspended';

export interface RecentExecution {
  id: string;
  status: ExecutionStatus;
  duration_ms: number | null;
}

export interface WorkflowSummary {
  namespace: string;
  name: string;
  version: string;
  title?: string | null;
  summary?: string | null;
  created_at: string;
  recent: RecentExecution[];
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Workflow {
  namespace: string;
  name: string;
  version: string;
  title?: string | null;
  summary?: string | null;
  created_at: string;
  hash: string;
  format: 'yaml' | 'json';
  definition: string;
  input_schema: Json;
  /** Latest first. */
  versions: string[];
}

export interface WorkflowVersion {
  version: string;
  created_at: string;
  hash: string;
}

export interface Validation {
  valid: boolean;
  errors: ProblemItem[];
}

export interface ExecutionSummary {
  id: string;
  workflow: { namespace: string; name: string; version: string };
  status: ExecutionStatus;
  started_at: string;
  ended_at: string | null;
  duration_ms: number | null;
  waiting_for: string | null;
}

export interface TaskError {
  type?: string;
  status?: number;
  title?: string;
  detail?: string;
  instance?: string;
}

export interface Execution extends ExecutionSummary {
  input: Json;
  output: Json;
  error: TaskError | null;
  current_tasks: string[];
  attributes: Record<string, string>;
  parent: string | null;
}

export type TaskState = 'started' | 'completed' | 'faulted' | 'cancelled' | 'skipped' | 'retrying';

export interface TaskRecord {
  task: string;
  name: string;
  kind: string;
  /** Unique for each iteration and branch. */
  path: string;
  state: TaskState;
  at: string;
  started_at?: string | null;
  attempt?: number;
  input?: Json;
  output?: Json;
  error?: TaskError | null;
}

export interface ExecutionEvent {
  sequence: number;
  at: string;
  kind: string;
  tasks: TaskRecord[];
}
