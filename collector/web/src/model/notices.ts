// Notices: what one may choose, and how what was told is shown. Pure.

import type { Choices, Notice } from '../api';

/** What can be chosen. */
export const EVENTS = ['assigned', 'called', 'nobody', 'warning', 'breach', 'approval', 'major', 'resolved'];

/** What a form of wanted events, quiet hours and time zone means. */
export function choicesOf(mail: boolean, wanted: string[], hours: string, zone: string): Choices {
  const without = EVENTS.filter((event) => !wanted.includes(event));
  const quiet = { hours: hours.trim(), time_zone: zone.trim() };
  return { mail, without, ...(quiet.hours === '' ? {} : { quiet }) };
}

/** The wanted events of choices. */
export function wantedOf(choices: Choices): string[] {
  return EVENTS.filter((event) => !(choices.without ?? []).includes(event));
}

/** Whom a notice went to: a person by mail, a receiver by its name. */
export function receiver(notice: Notice): string {
  return notice.lane === 'mail' ? `${notice.recipient} ✉` : notice.recipient;
}
