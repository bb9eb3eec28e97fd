import type { Field } from './schema.ts';
import { join } from './draft.ts';

/**
 * Brings the server's pointers, which may start at the call's body, to pointers into the input,
 * and splits what no field of the form can show.
 */
export function place(
  errors: Record<string, string>,
  field: Field | null,
): { placed: Record<string, string>; loose: string[] } {
  const placed: Record<string, string> = {};
  const loose: string[] = [];
  const hasInput = field?.fields.some((child) => child.key === 'input') ?? false;
  for (const [pointer, detail] of Object.entries(errors)) {
    const isBody = !hasInput && (pointer === '/input' || pointer.startsWith('/input/'));
    const inner = isBody ? pointer.slice('/input'.length) : pointer;
    if (field && inner !== '' && isShown(field, inner)) placed[inner] = detail;
    else loose.push(inner ? `${inner}: ${detail}` : detail);
  }
  return { placed, loose };
}

function isShown(field: Field, pointer: string): boolean {
  if (pointer === '') return true;
  if (field.kind === 'array' && field.item) {
    const match = /^\/\d+/.exec(pointer);
    return match !== null && isShown(field.item, pointer.slice(match[0].length));
  }
  const child = field.fields.find((candidate) => {
    const start = join('', candidate.key);
    return pointer === start || pointer.startsWith(`${start}/`);
  });
  return child !== undefined && isShown(child, pointer.slice(join('', child.key).length));
}
