import type { Json } from '../api/types.ts';

type Kind = 'string' | 'number' | 'integer' | 'boolean' | 'enum' | 'array' | 'object' | 'json';
type Schema = { [key: string]: Json };

/** One place of a form, derived from a JSON Schema. */
export interface Field {
  kind: Kind;
  key: string;
  title: string;
  description: string;
  isRequired: boolean;
  /** Filled in before a person types. */
  initial: Json | undefined;
  /** Choices of an `enum`. */
  options: Json[];
  fields: Field[];
  item: Field | null;
  format: string;
  min: number | null;
  max: number | null;
}

/** A reference that leads back to itself must end; deeper data is edited as JSON. */
const DEPTH_MAX = 12;

/** The form for an input schema; null where only JSON will do. */
export function formOf(schema: Json): Field | null {
  if (!isSchema(schema)) return null;
  const field = fieldOf(schema, schema, '', true, 0);
  return field.kind === 'object' && 0 < field.fields.length ? field : null;
}

/** An input that the schema's author gives as an example. */
export function exampleOf(schema: Json): Json | undefined {
  const examples = isSchema(schema) ? schema.examples : undefined;
  return Array.isArray(examples) ? examples[0] : undefined;
}

function fieldOf(schema: Schema, root: Schema, key: string, isRequired: boolean, depth: number): Field {
  const target = resolve(schema, root);
  const field: Field = {
    kind: 'json',
    key,
    title: text(schema.title) || text(target.title) || labelOf(key),
    description: text(schema.description) || text(target.description),
    isRequired,
    initial: schema.default ?? target.default ?? target.const,
    options: [],
    fields: [],
    item: null,
    format: text(target.format),
    min: number(target.minimum ?? target.minLength ?? target.minItems),
    max: number(target.maximum ?? target.maxLength ?? target.maxItems),
  };
  if (DEPTH_MAX < depth || isComposed(target)) return field;
  if (Array.isArray(target.enum) && 0 < target.enum.length) {
    return { ...field, kind: 'enum', options: target.enum };
  }
  switch (typeOf(target)) {
    case 'string':
    case 'number':
    case 'integer':
    case 'boolean':
      return { ...field, kind: typeOf(target) as Kind };
    case 'array': {
      const items = isSchema(target.items) ? target.items : null;
      if (!items) return field;
      const item = fieldOf(items, root, '', true, depth + 1);
      return { ...field, kind: 'array', item };
    }
    case 'object': {
      const properties = isSchema(target.properties) ? target.properties : {};
      const required = Array.isArray(target.required) ? target.required : [];
      const fields = Object.entries(properties).map(([name, value]) =>
        fieldOf(isSchema(value) ? value : {}, root, name, required.includes(name), depth + 1),
      );
      return fields.length === 0 ? field : { ...field, kind: 'object', fields };
    }
    default:
      return field;
  }
}

/** Follows local references; anything else stays as it is. */
function resolve(schema: Schema, root: Schema): Schema {
  let target = schema;
  for (let hops = 0; hops < DEPTH_MAX; hops += 1) {
    const reference = target.$ref;
    if (typeof reference !== 'string' || !reference.startsWith('#/')) return target;
    let place: Json | undefined = root;
    for (const part of reference.slice(2).split('/')) {
      const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      place = isSchema(place) ? place[name] : undefined;
    }
    if (!isSchema(place)) return target;
    target = place;
  }
  return target;
}

/** Choices between whole schemas have no plain form. */
function isComposed(schema: Schema): boolean {
  return ['oneOf', 'anyOf', 'allOf', 'not', 'if'].some((name) => schema[name] !== undefined);
}

/** The type, where there is one beside null. */
function typeOf(schema: Schema): string {
  const types = Array.isArray(schema.type) ? schema.type.filter((type) => type !== 'null') : [schema.type];
  if (types.length === 1 && typeof types[0] === 'string') return types[0];
  return schema.type === undefined && isSchema(schema.properties) ? 'object' : '';
}

function isSchema(value: Json | undefined): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function number(value: Json | undefined): number | null {
  return typeof value === 'number' ? value : null;
}

/** `invoice_number` and `invoiceNumber` read as `Invoice number`. */
function labelOf(key: string): string {
  const words = key.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/[_-]+/g, ' ').trim();
  return words ? words[0]!.toUpperCase() + words.slice(1).toLowerCase() : '';
}
