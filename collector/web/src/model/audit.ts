// What the record's page asks for, kept in the page's address, and who may see it. Pure.

import type { AuditFilter, User } from '../api';
import { readTime } from '../time';

/** The kinds of deeds, as the collector names them. */
export const DEEDS = [
  'initialised',
  'configuration-loaded',
  'agent-added',
  'token-made',
  'token-refused',
  'enrolled',
  'renewed',
  'renewal-refused',
  'certificate-used',
  'superseded-used',
  'superseded-refused',
  'quarantined',
  'revoked',
  'ca-announced',
  'ca-switched',
  'ca-retired',
  'ca-withdrawn',
  'user-added',
  'password-set',
  'role-changed',
  'backed-up',
  'restored',
  'imported',
  'bundle-read',
  'bundle-refused',
  'maintenance-begun',
  'maintenance-ended',
  'api-token-made',
  'api-token-revoked',
  'logged-in',
  'logged-out',
  'login-refused',
  'evidence-read',
  'exported',
  'changed',
  'user-bound',
  'user-linked',
  'user-unlinked',
  'user-disabled',
  'user-enabled',
] as const;

/** Who may see the record; the collector decides, this only spares a useless link. */
export function mayAudit(user: User): boolean {
  return user.role === 'manager' || user.role === 'administrator';
}

/** Who keeps users and tokens. */
export function mayKeepKeys(user: User): boolean {
  return user.role === 'administrator';
}

const MOMENT = /^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/;

/** The filter in an address; anything unknown is left out. */
export function readAudit(search: URLSearchParams): AuditFilter {
  const text = (name: string) => (search.get(name) ?? '').trim().slice(0, 200);
  const moment = (name: string) => {
    const given = search.get(name) ?? '';
    return MOMENT.test(given) && readTime(given) !== null ? given : '';
  };
  const what = search.get('what') ?? '';
  const before = search.get('before');
  return {
    agent: text('agent'),
    who: text('who'),
    what: (DEEDS as readonly string[]).includes(what) ? what : '',
    from: moment('from'),
    to: moment('to'),
    limit: 50,
    before: before !== null && /^\d{1,15}$/.test(before) ? before : null,
  };
}

/** The address of a filter: only what differs from the default. */
export function writeAudit(filter: AuditFilter): URLSearchParams {
  const search = new URLSearchParams();
  for (const name of ['agent', 'who', 'what', 'from', 'to'] as const) {
    if (filter[name] !== '') search.set(name, filter[name]);
  }
  if (filter.before !== null) search.set('before', filter.before);
  return search;
}

export function isAuditFiltered(filter: AuditFilter): boolean {
  return [filter.agent, filter.who, filter.what, filter.from, filter.to].some((part) => part !== '');
}

/** A moment as the browser's own field shows it: local time to the minute. */
export function toField(moment: string): string {
  const ms = readTime(moment);
  if (ms === null) return '';
  const local = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

/** What the field holds as a moment in UTC; empty while it is not whole. */
export function fromField(text: string): string {
  const ms = text === '' ? Number.NaN : new Date(text).getTime();
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString();
}

/** The detail for reading, a line each; what is no JSON as it is. */
export function readable(detail: string): string {
  try {
    return JSON.stringify(JSON.parse(detail), null, 2);
  } catch {
    return detail;
  }
}
