import type { Json, WorkflowSettings } from '../../../api/types.ts';
import { type Field, formOf } from '../../../forms/schema.ts';

const KEY = {
  type: 'string', title: 'Per',
  description: 'A jq expression on the input, such as .customer.id; the limit then counts for each of its values.',
};
const PERIOD = { type: 'string', title: 'Period', description: 'An ISO 8601 duration: PT10S, PT1M, PT1H, P1D.' };
const AT_LEAST_1 = { type: 'integer', minimum: 1 };
const KEEP = { type: 'string', enum: ['newest', 'oldest'], title: 'Keep' };

const pace = (burst: string) => ({
  type: 'object',
  title: 'Limit',
  required: ['max', 'period'],
  properties: { max: { ...AT_LEAST_1, title: 'At most' }, period: PERIOD, burst: { ...AT_LEAST_1, title: 'At once', description: burst }, key: KEY },
});

/** A setting that the API gains does not compile until it is here. */
const PROPERTIES: Record<keyof WorkflowSettings, Json> = {
  concurrency: {
    type: 'array', title: 'At work at the same time', description: 'Executions beyond it wait until others end.',
    items: { type: 'object', title: 'Limit', required: ['max'], properties: { max: { ...AT_LEAST_1, title: 'At most' }, key: KEY } },
  },
  throttle: {
    type: 'array', title: 'Beginning in a period', description: 'Executions beyond it wait, and begin evenly spread.',
    items: pace('How many may begin at once after a pause; 1 if nothing is said.'),
  },
  rate: {
    type: 'array', title: 'Started in a period', description: 'Starts beyond it are refused.',
    items: pace('How many may be started at once after a pause; all of them if nothing is said.'),
  },
  queue_max: { ...AT_LEAST_1, title: 'Waiting at these limits', description: 'When so many wait, starts are refused.' },
  retention: { type: 'string', title: 'Kept after the end', description: 'An ISO 8601 duration such as P30D; executions that ended longer ago are removed with their history. As long as the operator decided, if nothing is said.' },
  priority: { type: 'integer', title: 'Priority', description: 'For starts that ask for none. Higher comes first.', default: 0 },
  debounce: {
    type: 'object', title: 'One execution for many starts in a row', required: ['period'],
    properties: {
      period: { ...PERIOD, description: 'How long starts must pause: PT10S, PT1M.' },
      max_wait: { type: 'string', title: 'Longest wait', description: 'For the first start; ten periods if nothing is said.' },
      key: KEY,
      keep: { ...KEEP, description: 'Which start counts; the newest if nothing is said.' },
    },
  },
  singleton: {
    type: 'object', title: 'At most one at work or waiting',
    properties: { keep: { ...KEEP, description: 'Choose which one stays to switch it on.' }, key: KEY },
  },
};

export const SETTINGS_FORM: Field = formOf({
  type: 'object', required: ['concurrency', 'throttle', 'rate', 'priority'], properties: PROPERTIES,
})!;
