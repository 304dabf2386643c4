// How much of a clock is left, and how urgent that is. Pure.

import type { Clock } from '../api';
import type { Translate } from '../i18n';
import { readTime } from '../time';

/** `late`: the limit has passed; `near`: the warning has; `calm`; `over`: it does not run any more. */
export type Urgency = 'late' | 'near' | 'calm' | 'over';

/** A length of time in the two largest units, without its sign. */
export function span(ms: number, t: Translate): string {
  const minutes = Math.floor(Math.abs(ms) / 60_000);
  const [d, h, m] = [Math.floor(minutes / 1440), Math.floor(minutes / 60) % 24, minutes % 60];
  if (d > 0) return t('span.days', { d, h });
  if (h > 0) return t('span.hours', { h, m });
  return t('span.minutes', { m });
}

/** Until an instant by the wall clock, below zero after it; null without one. */
export function until(at: string | null, now: number): number | null {
  const ms = readTime(at);
  return ms === null ? null : ms - now;
}

/** How much has counted by now: between two answers a running clock may only be past or before its end. */
export function urgency(clock: Clock, now: number): Urgency {
  if (clock.kept === false) return 'late';
  if (clock.state === 'stopped' || clock.state === 'dropped') return 'over';
  const left = until(clock.due_at, now);
  if (left !== null && left < 0) return 'late';
  if (clock.budget_ms === null || clock.left_ms === null) return 'calm';
  const share = 100 - (100 * clock.left_ms) / clock.budget_ms;
  return share >= clock.warn_at ? 'near' : 'calm';
}

/** What runs first, the least time left first; then what rests, then what is over. */
export function inOrder(clocks: readonly Clock[]): Clock[] {
  const rank = (clock: Clock) => ['running', 'paused'].indexOf(clock.state) >>> 0;
  const due = (clock: Clock) => (clock.due_at === null ? Number.MAX_SAFE_INTEGER : Date.parse(clock.due_at));
  return [...clocks].sort((a, b) => rank(a) - rank(b) || due(a) - due(b));
}
