// What the page "Reports" shows. Pure.

import type { Language } from '../api';
import type { Translate } from '../i18n';
import type { LimitKept, ReportGroup, Spread } from '../answers/reports';
import { span } from './clocks';

export const BYS = ['month', 'week', 'customer', 'site', 'plan'] as const;
export const RANGES = [7, 30, 90, 365] as const;
const DAY_MS = 86_400_000;

/** A range of so many days that ends now, to the minute: the address stays the same for a while. */
export function range(days: number, now: number): { from: string; to: string } {
  const to = Math.ceil(now / 60_000) * 60_000;
  return { from: new Date(to - days * DAY_MS).toISOString(), to: new Date(to).toISOString() };
}

/** A moment that a person gave in the browser's time zone, RFC 3339; empty for none. */
export function instant(local: string): string {
  const ms = local === '' ? Number.NaN : Date.parse(local);
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString();
}

/** How long something took: seconds below a minute, else the two largest units. */
export function took(ms: number | null, t: Translate, language: Language): string {
  if (ms === null) return '–';
  if (ms >= 60_000) return span(ms, t);
  const digits = ms < 10_000 ? 1 : 0;
  const format = { style: 'unit', unit: 'second', unitDisplay: 'short', maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(language, format).format(ms / 1000);
}

/** Per cent with one digit, or null when there is nothing to divide by. */
export function share(part: number, of: number): number | null {
  return of === 0 ? null : Math.round((part * 1000) / of) / 10;
}

/** Limits known to everybody come first, in their order on the way of a ticket. */
const ORDER = ['respond', 'on_site', 'diagnose', 'restore', 'replacement', 'part_return'];

export function inOrder(limits: readonly LimitKept[]): LimitKept[] {
  const place = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return [...limits].sort((a, b) => place(a.limit) - place(b.limit) || a.limit.localeCompare(b.limit));
}

/** The limits that any of the groups has. */
export function limitNames(groups: readonly ReportGroup[]): string[] {
  const all = groups.flatMap((group) => group.limits);
  const names = new Map(all.map((one) => [one.limit, one]));
  return inOrder([...names.values()]).map((one) => one.limit);
}

/** How many times faster one half is than the other, one digit; null: not comparable. */
export function faster(automatic: Spread, byHand: Spread): number | null {
  if (automatic.p50_ms === null || byHand.p50_ms === null || automatic.p50_ms === 0) return null;
  return Math.round((byHand.p50_ms * 10) / automatic.p50_ms) / 10;
}
