// Duty: what the board shows and who may do what. Pure.

import type { Call, DutyBoard, Language, ShiftView, User } from '../api';
import { readTime } from '../time';

const LEADS = ['dispatcher', 'manager', 'administrator'];

/** Whether somebody may swap and note absence for others. */
export const mayLead = (user: User): boolean => LEADS.includes(user.role);

/** Whether somebody may give this shift away: it is published, not over, and his own or he leads. */
export function maySwap(shift: ShiftView, user: User, now: number): boolean {
  const end = readTime(shift.until);
  return shift.id !== null && end !== null && end > now && (shift.person === user.name || mayLead(user));
}

/** A shift with what the board says of it. */
export interface Row extends ShiftView {
  key: string;
  day: string;
  away: boolean;
}

/** The shifts of a board, each under the day on which it begins. */
export function rows(board: DutyBoard, language: Language): Row[] {
  const day = new Intl.DateTimeFormat(language, { weekday: 'short', month: '2-digit', day: '2-digit' });
  return board.shifts.map((shift, n) => ({
    ...shift,
    key: shift.id ?? `${shift.roster} ${shift.pattern} ${shift.from} ${shift.person} ${n}`,
    day: day.format(readTime(shift.from) ?? 0),
    away: board.absences.some((a) => a.person === shift.person && a.from < shift.until && shift.from < a.until),
  }));
}

/** The call that waits longest for an answer. */
export function openCall(calls: Call[]): Call | null {
  return calls.find((call) => call.ended === null) ?? null;
}

/** The end of an absence of so many days from now. */
export function absentUntil(days: number, now: number): string {
  return new Date(now + days * 86_400_000).toISOString();
}
