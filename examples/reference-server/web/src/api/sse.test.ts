import { describe, expect, it } from 'vitest';
import { type SseMessage, SseParser } from './sse.ts';

function parse(...chunks: string[]): SseMessage[] {
  const parser = new SseParser();
  return chunks.flatMap((chunk) => parser.push(chunk));
}

describe('SseParser', () => {
  const STREAM =
    '\uFEFF: hello\r\n\r\nid: 1\r\nevent: execution.started\r\ndata: {"a":1}\r\n\r\n' +
    'id: 2\nevent:timer.fired\ndata: first\ndata:second\n\n:beat\n\ndata: bare\r\r';
  const EXPECTED = [
    { event: 'execution.started', data: '{"a":1}', id: '1' },
    { event: 'timer.fired', data: 'first\nsecond', id: '2' },
    { event: 'message', data: 'bare', id: '2' },
  ];

  it('gives the same messages however the stream is cut', () => {
    // A return at the very end may be half a line end, so the last message waits for more.
    const whole = `${STREAM}\n`;
    expect(parse(whole)).toEqual(EXPECTED);
    expect(parse(...whole)).toEqual(EXPECTED);
    for (let cut = 1; cut < whole.length; cut += 1) {
      expect(parse(whole.slice(0, cut), whole.slice(cut)), `cut at ${cut}`).toEqual(EXPECTED);
    }
  });

  it('keeps no message without data and no half of one', () => {
    expect(parse('event: nothing\n\n')).toEqual([]);
    expect(parse('data: not ended\n')).toEqual([]);
  });

  it('remembers how long to wait and ignores ids that cannot be sent back', () => {
    const parser = new SseParser();
    expect(parser.push('retry: 1500\nid: a\0b\ndata: x\n\nretry: soon\n')).toEqual([
      { event: 'message', data: 'x', id: '' },
    ]);
    expect(parser.retryMs).toBe(1500);
  });
});
