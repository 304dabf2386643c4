import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { coalesce, type Timers } from '../src/live/coalesce';
import { backoff, LiveConnection, readTopic, type LiveState, type Topic } from '../src/live/connection';
import { StreamParser } from '../src/live/sse';

const timers: Timers = {
  set: (run, ms) => setTimeout(run, ms),
  clear: (handle) => clearTimeout(handle as ReturnType<typeof setTimeout>),
  now: () => Date.now(),
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('coalescing', () => {
  test('a storm is one run per interval, and the last event is never missed', () => {
    const runs: number[] = [];
    const start = Date.now();
    const soon = coalesce(() => runs.push(Date.now() - start), 1_000, timers);
    for (let i = 0; i < 250; i += 1) {
      soon.call();
      vi.advanceTimersByTime(10);
    }
    vi.advanceTimersByTime(5_000);
    expect(runs).toEqual([0, 1_000, 2_000, 3_000]);
    soon.call();
    expect(runs).toHaveLength(5);
  });

  test('nothing runs after cancelling', () => {
    const run = vi.fn();
    const soon = coalesce(run, 1_000, timers);
    soon.call();
    soon.call();
    soon.cancel();
    vi.advanceTimersByTime(5_000);
    expect(run).toHaveBeenCalledTimes(1);
  });
});

describe('stream', () => {
  const whole = ': alive\n\nevent: ticket\ndata: {"number":"T-1"}\n\nevent: agent\r\ndata: {"id":\r\ndata: "a"}\r\n\r\n\n\nid: 7\n\n';
  const events = [
    { event: 'ticket', data: '{"number":"T-1"}' },
    { event: 'agent', data: '{"id":\n"a"}' },
  ];

  test('reads the same in every cut', () => {
    for (let size = 1; size <= whole.length; size += 1) {
      const parser = new StreamParser();
      const found = [];
      for (let at = 0; at < whole.length; at += size) found.push(...parser.push(whole.slice(at, at + size)));
      expect(found, `size ${size}`).toEqual(events);
    }
  });

  test('refuses an endless line', () => {
    const parser = new StreamParser(1_000);
    expect(() => parser.push('x'.repeat(2_000))).toThrow();
  });

  test('topics survive nonsense', () => {
    expect(readTopic('ticket', '{"number":"T-1","at":"…"}')).toEqual({ event: 'ticket', number: 'T-1' });
    for (const data of ['', 'null', '[]', '{"number":7}', '{']) expect(readTopic('ticket', data)).toEqual({ event: 'ticket' });
  });
});

test('back-off doubles, is bounded and spread', () => {
  expect(backoff(0, 0)).toBe(250);
  expect(backoff(0, 1)).toBe(500);
  expect(backoff(3, 1)).toBe(4_000);
  expect(backoff(1_000, 1)).toBe(15_000);
});

describe('connection', () => {
  function open(answers: (() => Promise<Response>)[]) {
    const states: LiveState[] = [];
    const topics: Topic[] = [];
    const onUnauthorised = vi.fn();
    const get = vi.fn(async (_: unknown, init?: RequestInit) => {
      const next = answers.shift() ?? (() => new Promise<Response>(() => undefined));
      return await Promise.race([
        next(),
        new Promise<never>((_, no) => init?.signal?.addEventListener('abort', () => no(new Error('aborted')))),
      ]);
    });
    const connection = new LiveConnection({
      onState: (s) => states.push(s),
      onTopic: (t) => topics.push(t),
      onUnauthorised,
      fetch: get as unknown as typeof fetch,
      timers,
      random: () => 1,
    });
    connection.start();
    return { connection, states, topics, onUnauthorised, get };
  }
  const stream = (text: string) => async () => new Response(text, { headers: { 'content-type': 'text/event-stream' } });

  test('connects again after an end, and says resync each time', async () => {
    const live = open([stream('event: ticket\ndata: {"number":"T-1"}\n\n'), stream(': alive\n\n')]);
    await vi.advanceTimersByTimeAsync(0);
    expect(live.topics).toEqual([{ event: 'resync' }, { event: 'ticket', number: 'T-1' }]);
    expect(live.states).toEqual(['connecting', 'connected', 'reconnecting']);
    await vi.advanceTimersByTimeAsync(600);
    expect(live.states.filter((s) => s === 'connected')).toHaveLength(2);
    expect(live.topics.filter((t) => t.event === 'resync')).toHaveLength(2);
    live.connection.stop();
  });

  test('an ended session is told once and not retried', async () => {
    const refused = async () => new Response('{"error":{"code":"not_logged_in","message":""}}', { status: 401 });
    const live = open([refused]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(live.onUnauthorised).toHaveBeenCalledTimes(1);
    expect(live.get).toHaveBeenCalledTimes(1);
  });

  test('silence is noticed, and pages look again while there is no line', async () => {
    const live = open([]);
    await vi.advanceTimersByTimeAsync(41_000);
    expect(live.states).toContain('reconnecting');
    expect(live.get.mock.calls.length).toBeGreaterThanOrEqual(2);
    const refused = async () => new Response('', { status: 503 });
    const down = open([refused, refused, refused]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(down.topics.length).toBeGreaterThanOrEqual(2);
    live.connection.stop();
    down.connection.stop();
  });

  test('nothing happens after stop', async () => {
    const live = open([async () => new Response('', { status: 500 })]);
    await vi.advanceTimersByTimeAsync(0);
    live.connection.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(live.get).toHaveBeenCalledTimes(1);
  });
});
