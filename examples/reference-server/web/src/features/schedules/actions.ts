export type Action = 'pause' | 'resume' | 'trigger' | 'backfill' | 'delete';

interface Words {
  label: string;
  title: string;
  button: string;
  /** What will happen, for the person who confirms it. */
  effects: string[];
  done: string;
}

export const WORDS: Record<Action, Words> = {
  pause: {
    label: 'Pause',
    title: 'Pause this schedule',
    button: 'Pause',
    effects: ['It starts nothing until it is resumed. Executions that run go on.', 'Times that pass meanwhile are not made up for.'],
    done: 'Paused',
  },
  resume: {
    label: 'Resume',
    title: 'Resume this schedule',
    button: 'Resume',
    effects: ['It goes on with the next time. Those that passed while it was paused start nothing; a backfill makes up for them.'],
    done: 'Resumed',
  },
  trigger: {
    label: 'Start now',
    title: 'Start now',
    button: 'Start now',
    effects: ['One execution starts now, with the schedule’s input, also while it is paused. Its other times stay as they are.'],
    done: 'Started',
  },
  backfill: {
    label: 'Make up for a range',
    title: 'Make up for a range',
    button: 'Make up',
    effects: ['Every time of the range starts an execution, 10,000 at most, as far as the present.', 'A range that was made up for, or ran on time, runs again.'],
    done: 'The range is being made up for',
  },
  delete: {
    label: 'Delete',
    title: 'Delete this schedule',
    button: 'Delete schedule',
    effects: ['It starts nothing any more, and its history is gone. Executions that run go on.'],
    done: 'Deleted',
  },
};
