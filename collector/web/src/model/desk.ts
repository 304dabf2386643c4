// What the desk works with: words of tickets, and the fields of customers, sites, contacts, contracts and
// devices, as the collector keeps them. Pure.

import type { User } from '../api';

export const CATEGORIES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'] as const;
export const CLASSES = ['service_request', 'scheduled_event'] as const;
export const PRIORITIES = ['p1', 'p2', 'p3', 'p4'] as const;
export const LEVELS = ['l2', 'l3', 'engineering'] as const;
export type Level = (typeof LEVELS)[number];

/** A ticket only climbs. */
export function levelsAbove(level: string | null): readonly Level[] {
  return LEVELS.slice((LEVELS as readonly string[]).indexOf(level ?? '') + 1);
}

export function mayDecide(user: Pick<User, 'role'>): boolean {
  return user.role === 'manager' || user.role === 'administrator';
}

/** Who does service: everybody at the centre. */
export function mayWork(user: Pick<User, 'role'>): boolean {
  return user.role !== 'customer';
}

/** Who keeps customers, sites, contacts, contracts and the installed base. */
export function mayKeep(user: Pick<User, 'role'>): boolean {
  return ['service_desk', 'dispatcher', 'manager', 'administrator'].includes(user.role);
}

export const KINDS = ['customers', 'sites', 'contacts', 'contracts', 'devices'] as const;
export type Kind = (typeof KINDS)[number];

export interface Field {
  name: string;
  /** Words to choose from; "" is none. */
  words?: readonly string[];
  required?: boolean;
  /** Takes several lines. */
  long?: boolean;
  /** A day. */
  day?: boolean;
}

const NOTE: Field = { name: 'note', long: true };

export const FIELDS: Readonly<Record<Kind, readonly Field[]>> = {
  customers: [{ name: 'name', required: true }, NOTE],
  sites: [{ name: 'name' }, { name: 'customer' }, { name: 'address' }, { name: 'time_zone' }, { name: 'calendar' }, NOTE],
  contacts: [
    { name: 'name', required: true },
    { name: 'phone' },
    { name: 'mail' },
    { name: 'language', words: ['zh-CN', 'en'] },
    { name: 'customer' },
    { name: 'sites' },
    NOTE,
  ],
  contracts: [
    { name: 'customer', required: true },
    { name: 'plan', required: true },
    { name: 'tier', words: ['standard', 'gold', 'platinum', 'diamond'] },
    { name: 'valid_from', required: true, day: true },
    { name: 'valid_until', required: true, day: true },
    { name: 'covers', words: ['customer', 'sites', 'devices'], required: true },
    { name: 'sites', long: true },
    { name: 'serials', long: true },
    NOTE,
  ],
  devices: [
    { name: 'name' },
    { name: 'vendor' },
    { name: 'model' },
    { name: 'firmware' },
    { name: 'site' },
    { name: 'asset' },
    { name: 'contract' },
    { name: 'hangs_on', long: true },
    { name: 'powered_by', long: true },
    NOTE,
  ],
};

export function isKind(text: string): text is Kind {
  return (KINDS as readonly string[]).includes(text);
}

/** The fields whose texts differ. */
export function changed(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(now).filter(([name, text]) => (before[name] ?? '') !== text));
}
