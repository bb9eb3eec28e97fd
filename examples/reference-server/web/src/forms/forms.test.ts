import { describe, expect, it } from 'vitest';
import type { Json } from '../api/types.ts';
import { type Draft, draftOf, read } from './draft.ts';
import { place } from './pointers.ts';
import { type Field, formOf } from './schema.ts';

const SCHEMA: Json = {
  type: 'object',
  required: ['supplier', 'amount', 'isUrgent', 'address'],
  properties: {
    supplier: { type: 'string', title: 'Supplier', default: 'Northwind' },
    amount: { type: 'number', minimum: 0 },
    lineCount: { type: ['integer', 'null'] },
    isUrgent: { type: 'boolean' },
    currency: { enum: ['EUR', 'USD', null] },
    tags: { type: 'array', items: { type: 'string' } },
    address: { $ref: '#/$defs/address' },
    contact: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
    extra: { oneOf: [{ type: 'string' }, { type: 'number' }] },
  },
  $defs: { address: { type: 'object', required: ['city'], properties: { city: { type: 'string' } } } },
};

function form(schema: Json = SCHEMA): Field {
  const field = formOf(schema);
  if (!field) throw new Error('the schema has a form');
  return field;
}

function set(draft: Draft, key: string, text: string): void {
  draft.fields[key]!.text = text;
}

describe('formOf', () => {
  it('names every field, its kind and whether it must be filled in', () => {
    const found = form().fields.map((field) => [field.title, field.kind, field.isRequired]);
    expect(found).toEqual([
      ['Supplier', 'string', true],
      ['Amount', 'number', true],
      ['Line count', 'integer', false],
      ['Is urgent', 'boolean', true],
      ['Currency', 'enum', false],
      ['Tags', 'array', false],
      ['Address', 'object', true],
      ['Contact', 'object', false],
      ['Extra', 'json', false],
    ]);
  });

  it('leaves to JSON what has no form', () => {
    for (const schema of [null, true, {}, { type: 'string' }, { type: 'object' }, { type: 'object', properties: {} }, { oneOf: [] }]) {
      expect(formOf(schema as Json)).toBeNull();
    }
  });

  it('ends where a schema contains itself', () => {
    const field = form({ type: 'object', properties: { next: { $ref: '#' } } });
    let depth = 0;
    for (let at: Field | undefined = field; at?.kind === 'object'; at = at.fields[0]) depth += 1;
    expect(depth).toBeLessThan(20);
    expect(formOf({ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a' } } })).toBeNull();
  });
});

describe('drafts', () => {
  it('show a value and give it back, with what the schema does not name', () => {
    const value: Json = {
      supplier: 'Acme', amount: 12.5, lineCount: 3, isUrgent: true, currency: null,
      tags: ['a', 'b'], address: { city: 'Ulm', street: 'Main' }, contact: { name: 'Jo' }, extra: { any: [1] }, more: 1,
    };
    const field = form();
    const { currency: _none, ...rest } = value;
    expect(read(field, draftOf(field, value))).toEqual({ value: rest, mistakes: [] });
    expect(read(field, draftOf(field, { ...value, currency: 'USD' })).value).toMatchObject({ currency: 'USD' });
  });

  it('start from the defaults, but not once there is a value', () => {
    const field = form();
    expect(draftOf(field).fields.supplier!.text).toBe('Northwind');
    expect(draftOf(field, {}).fields.supplier!.text).toBe('');
  });

  it('leave out what is optional and empty, and keep what is required', () => {
    const field = form();
    const draft = draftOf(field);
    set(draft, 'amount', '7');
    draft.fields.address!.fields.city!.text = 'Ulm';
    expect(read(field, draft)).toEqual({
      value: { supplier: 'Northwind', amount: 7, isUrgent: false, address: { city: 'Ulm' } },
      mistakes: [],
    });
  });

  it('say at the field what is wrong, without losing what was typed', () => {
    const field = form();
    const draft = draftOf(field);
    set(draft, 'amount', '-1');
    set(draft, 'lineCount', '1.5');
    set(draft, 'extra', '{"half":');
    const { mistakes } = read(field, draft);
    expect(mistakes.map((mistake) => mistake.pointer)).toEqual(['/amount', '/lineCount', '/address/city', '/extra']);
    expect(draft.fields.extra!.text).toBe('{"half":');
    set(draft, 'amount', '12x');
    expect(read(field, draft).mistakes[0]!.detail).toBe('Enter a number.');
  });
});

describe('texts', () => {
  it('are as long as the schema wants them, counted as people count', () => {
    const field = form({ type: 'object', properties: { code: { type: 'string', minLength: 3, maxLength: 4 } } });
    const said = (text: string) => {
      const draft = draftOf(field);
      set(draft, 'code', text);
      return read(field, draft).mistakes.map((mistake) => mistake.detail);
    };
    expect(['ab', 'abc', '\u{1f980}\u{1f980}\u{1f980}\u{1f980}', 'abcde', ''].map(said)).toEqual([
      ['Enter at least 3 characters.'], [], [], ['Enter at most 4 characters.'], [],
    ]);
  });
});

describe('place', () => {
  it('finds the field of a pointer, from the input or from the body', () => {
    const errors = { '/input/amount': 'a', '/tags/0': 'b', '/address/city': 'c', '/address/zip': 'd', '': 'e', '/priority': 'f' };
    expect(place(errors, form())).toEqual({
      placed: { '/amount': 'a', '/tags/0': 'b', '/address/city': 'c' },
      loose: ['/address/zip: d', 'e', '/priority: f'],
    });
    expect(place({ '/input/x': 'a' }, null)).toEqual({ placed: {}, loose: ['/x: a'] });
  });
});
