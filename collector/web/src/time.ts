// Points in time and ages, in words. Pure; Intl knows both languages.

import type { Language } from './api';

const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

const cache = new Map<string, Intl.DateTimeFormat | Intl.RelativeTimeFormat | Intl.NumberFormat>();

function cached<T extends Intl.DateTimeFormat | Intl.RelativeTimeFormat | Intl.NumberFormat>(
  key: string,
  make: () => T,
): T {
  const known = cache.get(key) as T | undefined;
  if (known) return known;
  const made = make();
  cache.set(key, made);
  return made;
}

/** Milliseconds of an RFC 3339 text, or null. */
export function readTime(text: string | null | undefined): number | null {
  if (!text) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

/** How long before `now`: the largest whole unit. Under five seconds (or in the future) it is `justNow`. */
export function ago(at: number, now: number, language: Language, justNow: string): string {
  const seconds = Math.floor((now - at) / 1_000);
  if (seconds < 5) return justNow;
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? UNITS[3];
  const format = cached(
    `ago ${language}`,
    () => new Intl.RelativeTimeFormat(language, { numeric: 'always', style: 'short' }),
  );
  return format.format(-Math.floor(seconds / size), unit);
}

/** A length of time: the largest whole unit. */
export function duration(seconds: number, language: Language): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [unit, size] = UNITS.find(([, size]) => whole >= size) ?? UNITS[3];
  const format = cached(
    `duration ${language} ${unit}`,
    () => new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short' }),
  );
  return format.format(Math.floor(whole / size));
}

/** Date and time to the second, in the reader's time zone. */
export function dateTime(at: number, language: Language, timeZone?: string): string {
  return cached(
    `date ${language} ${timeZone ?? ''}`,
    () =>
      new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : 'zh-CN', {
        year: 'numeric',
        month: language === 'en' ? 'short' : '2-digit',
        day: '2-digit',
        hour: '2-digit',
        minute: '2-digit',
        second: '2-digit',
        hourCycle: 'h23',
        ...(timeZone === undefined ? {} : { timeZone }),
      }),
  ).format(at);
}

/** The date alone. */
export function date(at: number, language: Language, timeZone?: string): string {
  return cached(
    `day ${language} ${timeZone ?? ''}`,
    () =>
      new Intl.DateTimeFormat(language === 'en' ? 'en-GB' : 'zh-CN', {
        year: 'numeric',
        month: language === 'en' ? 'short' : '2-digit',
        day: '2-digit',
        ...(timeZone === undefined ? {} : { timeZone }),
      }),
  ).format(at);
}
