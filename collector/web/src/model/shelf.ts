// Service plans and business calendars as they are shown and written. Pure.

import type { CalendarDay, PlanBody, PlanLimit } from '../api';
import type { Translate } from '../i18n/format';

/** The limits of a plan, in the order in which they are due, each with what it is at every priority. */
export function limits(plan: PlanBody): { name: string; within: Record<string, PlanLimit> }[] {
  const order = ['respond', 'on_site', 'diagnose', 'restore', 'replacement', 'part_return'];
  const names = new Set(Object.values(plan.priorities).flatMap((all) => Object.keys(all)));
  const place = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  return [...names]
    .sort((a, b) => place(a) - place(b) || a.localeCompare(b))
    .map((name) => ({
      name,
      within: Object.fromEntries(
        Object.entries(plan.priorities).flatMap(([priority, all]) => {
          const limit = all[name];
          return limit ? [[priority, limit]] : [];
        }),
      ),
    }));
}

/** What a limit is in words, with its hours where it has some of its own. */
export function withinText(limit: PlanLimit | undefined, t: Translate): string {
  if (limit === undefined || limit.within === 'none') return t('app.none');
  const text = lengthText(limit.within, t);
  return limit.hours === undefined ? text : t('within.in-hours', { text, hours: limit.hours });
}

function lengthText(within: string, t: Translate): string {
  if (within === 'at once') return t('within.at-once');
  if (within === 'next day') return t('within.next-day');
  const days = /^next (\d+) days$/.exec(within);
  if (days) return t('within.next-days', { n: days[1] ?? '' });
  const [, n = '', unit] = /^(\d+) *(min|h)$/.exec(within) ?? [];
  if (unit === 'min') return t('within.minutes', { n });
  return unit === 'h' ? t('within.hours', { n }) : within;
}

/** JSON as a person wrote it, or where it is wrong. */
export function parsed(text: string): { value: unknown } | { line: number; column: number; what: string } {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    const at = /position (\d+)/.exec(what);
    const before = text.slice(0, at ? Number(at[1]) : text.length).split('\n');
    return { line: before.length, column: (before.at(-1) ?? '').length + 1, what };
  }
}

/** What a file that a person chose holds: an iCalendar file or a calendar in JSON. */
export function isIcalendar(text: string): boolean {
  return /^\uFEFF?\s*BEGIN:VCALENDAR/i.test(text);
}

/** Days of a year, first come first. */
export function daysOf(days: readonly CalendarDay[], year: string): CalendarDay[] {
  return days.filter((day) => day.from.startsWith(year) || day.to?.startsWith(year)).sort((a, b) => a.from.localeCompare(b.from));
}

/** The years that a calendar knows days of, the latest first. */
export function years(days: readonly CalendarDay[]): string[] {
  return [...new Set(days.flatMap((day) => [day.from.slice(0, 4), (day.to ?? day.from).slice(0, 4)]))].sort().reverse();
}
