import type { Json } from '../api/types.ts';
import type { Field } from './schema.ts';

/**
 * What a person has typed so far. One shape for every kind of field, so that a half-typed number
 * or a broken piece of JSON is kept as it is.
 */
export interface Draft {
  text: string;
  fields: Record<string, Draft>;
  items: Draft[];
  /** Data that the schema does not name, kept when the JSON view is left. */
  rest: Record<string, Json>;
}

export interface Mistake {
  pointer: string;
  detail: string;
}

export interface Reading {
  /** Absent when nothing was given. */
  value: Json | undefined;
  mistakes: Mistake[];
}

/** The draft that shows a value; without one, what the schema fills in. */
export function draftOf(field: Field, value: Json | undefined = field.initial): Draft {
  const draft: Draft = { text: '', fields: {}, items: [], rest: {} };
  if (field.kind === 'object') {
    const source = isObject(value) ? value : {};
    const hasValue = isObject(value);
    for (const child of field.fields) {
      // With data at hand, a field that it lacks is empty and not back at its default.
      draft.fields[child.key] = hasValue
        ? draftOf(child, Object.hasOwn(source, child.key) ? source[child.key] : null)
        : draftOf(child);
    }
    const known = new Set(field.fields.map((child) => child.key));
    for (const [key, item] of Object.entries(source)) if (!known.has(key)) draft.rest[key] = item;
    return draft;
  }
  if (value === undefined || value === null) return draft;
  if (field.kind === 'array' && field.item) {
    const item = field.item;
    draft.items = Array.isArray(value) ? value.map((entry) => draftOf(item, entry)) : [];
  } else if (field.kind === 'enum') {
    const index = field.options.findIndex((option) => isSame(option, value));
    draft.text = index < 0 ? '' : String(index);
  } else if (field.kind === 'json') {
    draft.text = JSON.stringify(value, null, 2);
  } else {
    draft.text = typeof value === 'string' ? value : JSON.stringify(value);
  }
  return draft;
}

/** The value of a draft, with every mistake that needs no server to see. */
export function read(field: Field, draft: Draft, pointer = ''): Reading {
  switch (field.kind) {
    case 'object':
      return readObject(field, draft, pointer);
    case 'array':
      return readArray(field, draft, pointer);
    case 'boolean':
      if (draft.text === '') return given(field.isRequired ? false : undefined);
      return given(draft.text === 'true');
    default:
      return readScalar(field, draft, pointer);
  }
}

function readObject(field: Field, draft: Draft, pointer: string): Reading {
  const value: Record<string, Json> = { ...draft.rest };
  const mistakes: Mistake[] = [];
  for (const child of field.fields) {
    const found = read(child, draft.fields[child.key] ?? draftOf(child, null), join(pointer, child.key));
    mistakes.push(...found.mistakes);
    if (found.value !== undefined) value[child.key] = found.value;
  }
  const isEmpty = Object.keys(value).length === 0;
  // An optional group that nobody touched is left out, with the demands inside it.
  if (isEmpty && !field.isRequired) return given(undefined);
  return { value, mistakes };
}

function readArray(field: Field, draft: Draft, pointer: string): Reading {
  const item = field.item;
  if (!item || (draft.items.length === 0 && !field.isRequired)) return given(undefined);
  const mistakes: Mistake[] = [];
  const value = draft.items.map((entry, index) => {
    const found = read(item, entry, join(pointer, String(index)));
    mistakes.push(...found.mistakes);
    return found.value ?? null;
  });
  return { value, mistakes };
}

function readScalar(field: Field, draft: Draft, pointer: string): Reading {
  const text = draft.text;
  if (text.trim() === '') {
    return field.isRequired ? wrong(pointer, 'Fill this in.') : given(undefined);
  }
  switch (field.kind) {
    case 'enum':
      return given(field.options[Number(text)]);
    case 'number':
    case 'integer': {
      const value = Number(text);
      if (!Number.isFinite(value)) return wrong(pointer, 'Enter a number.');
      if (field.kind === 'integer' && !Number.isInteger(value)) return wrong(pointer, 'Enter a whole number.');
      if (field.min !== null && value < field.min) return wrong(pointer, `Enter at least ${field.min}.`);
      if (field.max !== null && field.max < value) return wrong(pointer, `Enter at most ${field.max}.`);
      return given(value);
    }
    case 'json':
      try {
        return given(JSON.parse(text) as Json);
      } catch {
        return wrong(pointer, 'This is not valid JSON.');
      }
    case 'string': {
      const { length } = [...text];
      if (field.min !== null && length < field.min) return wrong(pointer, `Enter at least ${field.min} characters.`);
      if (field.max !== null && field.max < length) return wrong(pointer, `Enter at most ${field.max} characters.`);
      return given(text);
    }
    default:
      return given(text);
  }
}

export function join(pointer: string, key: string): string {
  return `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

function given(value: Json | undefined): Reading {
  return { value, mistakes: [] };
}

function wrong(pointer: string, detail: string): Reading {
  return { value: undefined, mistakes: [{ pointer, detail }] };
}

function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSame(left: Json, right: Json): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
