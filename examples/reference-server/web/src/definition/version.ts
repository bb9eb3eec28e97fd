/** Where the text of a definition names its own version; found without parsing the document. */
interface Place {
  from: number;
  to: number;
  version: string;
}

export function formatOf(text: string): 'yaml' | 'json' {
  return text.trimStart().startsWith('{') ? 'json' : 'yaml';
}

export function mediaTypeOf(text: string): string {
  return formatOf(text) === 'json' ? 'application/json' : 'application/yaml';
}

export function versionOf(text: string): string | null {
  return find(text)?.version ?? null;
}

/** The same text with another version; every other character stays. */
export function withVersion(text: string, version: string): string | null {
  const place = find(text);
  return place && text.slice(0, place.from) + version + text.slice(place.to);
}

/** The next version after all of these: the patch number of the highest, plus one. */
export function nextVersion(versions: string[]): string {
  let highest = [0, 0, 0];
  for (const version of versions) {
    const match = /^(\d+)\.(\d+)\.(\d+)/.exec(version);
    if (!match) continue;
    const parts = match.slice(1, 4).map(Number);
    if (compare(highest, parts) < 0) highest = parts;
  }
  return `${highest[0]}.${highest[1]}.${highest[2]! + 1}`;
}

function find(text: string): Place | null {
  const pattern =
    formatOf(text) === 'json'
      ? /"document"\s*:\s*\{[^{}]*?"version"\s*:\s*"([^"\n]*)"/d
      : /^document:[ \t]*(?:#.*)?\r?\n(?:(?:[ \t].*)?\r?\n)*?[ \t]+version:[ \t]*(?:'([^'\n]*)'|"([^"\n]*)"|([^\s'"#]+))/dm;
  const match = pattern.exec(text);
  if (!match) return null;
  for (let group = 1; group < match.length; group += 1) {
    const range = match.indices?.[group];
    if (range) return { from: range[0], to: range[1], version: match[group]! };
  }
  return null;
}

function compare(left: number[], right: number[]): number {
  for (let index = 0; index < 3; index += 1) {
    const difference = left[index]! - right[index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
