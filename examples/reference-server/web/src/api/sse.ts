/** One message of an event stream. */
export interface SseMessage {
  event: string;
  data: string;
  id: string;
}

/** Parses a `text/event-stream` that arrives in pieces of any size. */
export class SseParser {
  #rest = '';
  #isFirst = true;
  #event = '';
  #data: string[] = [];
  #id = '';
  /** Milliseconds the server asked to wait before connecting again. */
  retryMs: number | null = null;

  push(chunk: string): SseMessage[] {
    let text = this.#rest + chunk;
    if (this.#isFirst && text) {
      this.#isFirst = false;
      if (text.startsWith('\uFEFF')) text = text.slice(1);
    }
    const messages: SseMessage[] = [];
    let start = 0;
    for (let index = 0; index < text.length; index += 1) {
      const character = text[index];
      if (character !== '\n' && character !== '\r') continue;
      // The other half of a line end may be in the next piece.
      if (character === '\r' && index + 1 === text.length) break;
      const message = this.#line(text.slice(start, index));
      if (message) messages.push(message);
      if (character === '\r' && text[index + 1] === '\n') index += 1;
      start = index + 1;
    }
    this.#rest = text.slice(start);
    return messages;
  }

  #line(line: string): SseMessage | null {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
    return null;
  }

  #dispatch(): SseMessage | null {
    const message = { event: this.#event || 'message', data: this.#data.join('\n'), id: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#event = '';
    this.#data = [];
    return isEmpty ? null : message;
  }
}
