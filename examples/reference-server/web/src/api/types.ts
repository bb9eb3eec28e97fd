/** Short names for the documents of `schema.d.ts`, which is generated from the OpenAPI document. */
import type { components } from './schema.d.ts';

type Schemas = components['schemas'];

export type Again = Schemas['Again'];
export type BulkActionName = Schemas['BulkActionName'];
export type BulkEntry = Schemas['BulkEntry'];
export type BulkMisfit = Schemas['Misfit'];
export type BulkOperation = Schemas['BulkOperation'];
export type BulkPreview = Schemas['BulkPreview'];
export type CatchUp = Schemas['ScheduleCatchUp'];
export type Execution = Schemas['Execution'];
export type ExecutionEvent = Schemas['Event'];
export type ExecutionStatus = Schemas['ExecutionStatus'];
export type ExecutionSummary = Schemas['ExecutionSummary'];
export type Fault = Schemas['Fault'];
export type FaultList = Schemas['FaultList'];
export type HumanTask = Schemas['HumanTask'];
export type HumanTaskCounts = Schemas['HumanTaskCounts'];
export type HumanTaskNote = Schemas['HumanTaskNote'];
export type HumanTaskPerson = Schemas['HumanTaskPerson'];
export type HumanTaskState = Schemas['HumanTaskState'];
export type HumanTaskSummary = Schemas['HumanTaskSummary'];
export type MigrateOutcome = Schemas['MigrateOutcome'];
export type Myself = Schemas['Myself'];
export type Overlap = Schemas['ScheduleOverlap'];
export type Queued = Schemas['Queued'];
export type RecentExecution = Schemas['RecentExecution'];
export type RetryOutcome = Schemas['RetryOutcome'];
export type Schedule = Schemas['Schedule'];
export type ScheduleSpec = Schemas['ScheduleSpec'];
export type ScheduleTick = Schemas['ScheduleTick'];
export type ScheduleTiming = Schemas['ScheduleTiming'];
export type SignedIn = Schemas['Session'];
export type SignUpRequest = Schemas['SignUpRequest'];
export type TaskError = Schemas['TaskError'];
export type TaskRecord = Schemas['TaskRecord'];
export type TaskState = Schemas['TaskState'];
export type Tokens = Schemas['SessionTokens'];
export type Workflow = Schemas['Workflow'];
export type WorkflowName = Schemas['WorkflowName'];
export type WorkflowSettings = Schemas['WorkflowSettings'];
export type WorkflowSummary = Schemas['WorkflowSummary'];
export type WorkflowVersion = Schemas['WorkflowVersion'];

export type Problem = Partial<Schemas['Problem']>;
/** A mistake in a form's body or in a definition; only the latter has an end. */
export type ProblemItem = Schemas['ProblemError'] & Partial<Pick<Schemas['Mistake'], 'end_line' | 'end_column'>>;

export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

/** What JSON can hold; the document says of inputs and outputs only that they are JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
