import { expect, test } from 'vitest';
import type { Clock } from '../src/api';
import { inOrder, span, until, urgency } from '../src/model/clocks';
import { translator } from '../src/i18n';

const t = translator('en');
const MINUTE = 60_000;
const clock: Clock = {
  name: 'restore',
  title: null,
  state: 'running',
  within: '2h',
  hours: '7x24',
  started_at: '2026-11-22T10:00:00Z',
  due_at: '2026-11-22T12:00:00Z',
  stopped_at: null,
  budget_ms: 120 * MINUTE,
  elapsed_ms: 60 * MINUTE,
  left_ms: 60 * MINUTE,
  kept: null,
  warn_at: 75,
  explain: [],
  explain_left_out: 0,
};
const now = Date.parse('2026-11-22T11:00:00Z');

test('a length shows its two largest units, late or not', () => {
  expect(span(59_999, t)).toBe('0 min');
  expect(span(-4 * MINUTE, t)).toBe('4 min');
  expect(span(125 * MINUTE, t)).toBe('2 h 5 min');
  expect(span(27 * 60 * MINUTE, t)).toBe('1 d 3 h');
});

test('what is left follows the clock on the wall', () => {
  expect(until(clock.due_at, now)).toBe(60 * MINUTE);
  expect(until(clock.due_at, now + 90 * MINUTE)).toBe(-30 * MINUTE);
  expect(until(null, now)).toBeNull();
});

test('a clock is calm, near, late or over', () => {
  expect(urgency(clock, now)).toBe('calm');
  expect(urgency({ ...clock, left_ms: 30 * MINUTE }, now + 30 * MINUTE)).toBe('near');
  expect(urgency(clock, now + 61 * MINUTE)).toBe('late');
  expect(urgency({ ...clock, state: 'paused', due_at: null, kept: false }, now)).toBe('late');
  expect(urgency({ ...clock, state: 'stopped', due_at: null, kept: true }, now)).toBe('over');
  expect(urgency({ ...clock, budget_ms: null, left_ms: null, due_at: null }, now)).toBe('calm');
});

test('what is due first stands first, what is over last', () => {
  const of = (name: string, state: Clock['state'], due_at: string | null): Clock => ({ ...clock, name, state, due_at });
  const all = [
    of('a', 'stopped', null),
    of('b', 'paused', null),
    of('c', 'running', '2026-11-22T13:00:00Z'),
    of('d', 'running', '2026-11-22T12:00:00Z'),
    of('e', 'running', null),
  ];
  expect(inOrder(all).map(({ name }) => name)).toEqual(['d', 'c', 'e', 'b', 'a']);
});
