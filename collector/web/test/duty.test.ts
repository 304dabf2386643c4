import { expect, test } from 'vitest';
import type { Call, DutyBoard, ShiftView, User } from '../src/api';
import { absentUntil, maySwap, openCall, rows } from '../src/model/duty';
import { choicesOf, EVENTS, wantedOf } from '../src/model/notices';
import { line } from '../src/model/timeline';
import { translator } from '../src/i18n';

const english = translator('en');
const shift: ShiftView = {
  id: 's-1',
  roster: 'house',
  pattern: 'day',
  level: 'l1',
  from: '2026-11-23T00:00:00Z',
  until: '2026-11-24T00:00:00Z',
  person: 'li',
  planned: 'wang',
};
const user = (name: string, role: string): User => ({
  name,
  display_name: name,
  role,
  language: 'en',
  must_change_password: false,
});

test('who has a shift or leads may give it away, while it is published and not over', () => {
  const now = Date.parse('2026-11-23T12:00:00Z');
  expect(maySwap(shift, user('li', 'field_engineer'), now)).toBe(true);
  expect(maySwap(shift, user('wang', 'field_engineer'), now)).toBe(false);
  expect(maySwap(shift, user('boss', 'dispatcher'), now)).toBe(true);
  expect(maySwap({ ...shift, id: null }, user('boss', 'manager'), now)).toBe(false);
  expect(maySwap(shift, user('li', 'field_engineer'), Date.parse(shift.until))).toBe(false);
});

test('a board says who of it is away', () => {
  const absence = { id: 'a', person: 'li', from: '2026-11-23T23:00:00Z', until: '2026-11-25T00:00:00Z', reason: 'ill', by: 'li' };
  const board: DutyBoard = { from: shift.from, until: shift.until, shifts: [shift, { ...shift, person: 'wang' }], absences: [absence], swaps: [] };
  expect(rows(board, 'en').map((row) => row.away)).toEqual([true, false]);
  expect(absentUntil(2, 0)).toBe('1970-01-03T00:00:00.000Z');
});

test('the first call without an answer waits', () => {
  const call = (ended: string | null): Call => ({
    id: String(ended),
    step: 'opened',
    round: 1,
    level: 'l1',
    person: 'li',
    called_at: shift.from,
    expires_at: shift.until,
    ended_at: null,
    ended,
    ended_by: null,
  });
  expect(openCall([call('expired'), call(null)])?.ended).toBeNull();
  expect(openCall([call('answered')])).toBeNull();
});

test('the record says why somebody was taken and the others were not', () => {
  const reasons = [
    { person: 'li', level: 'l1', why: 'skill', of: 'oceanstor' },
    { person: '', level: 'l2', why: 'nobody' },
  ];
  const detail = { to: 'li', level: 'l1', by: 'roster', reasons };
  const entry = { id: 'e', at: shift.from, who: 'collector', what: 'assigned', detail };
  const said = line(entry, english, 'en');
  expect(said.head).toBe('Given to li by the roster');
  expect(said.body).toBe('li (L1): on duty, knows oceanstor\nL2: nobody on duty');
  const called = line({ ...entry, what: 'called', detail: { ...detail, step: 'clock' } }, english, 'en');
  expect(called.head).toBe('li (L1) was called: time limit');
});

test('choices are kept as what is not wanted, and read back', () => {
  const choices = choicesOf(true, ['called', 'major'], ' 22:00-07:00 ', 'Asia/Shanghai');
  expect(choices.without).not.toContain('called');
  expect(choices.quiet).toEqual({ hours: '22:00-07:00', time_zone: 'Asia/Shanghai' });
  expect(wantedOf(choices)).toEqual(['called', 'major']);
  expect(choicesOf(true, EVENTS, '', 'UTC')).toEqual({ mail: true, without: [] });
});
