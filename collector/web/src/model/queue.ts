// What the queue asks for, kept in the page's address, and which tickets are news. Pure.

import type { TicketFilter, TicketSummary, View } from '../api';

export const PAGE_SIZES = [25, 50, 100] as const;
export const STATE_FILTERS = [
  'open',
  'recorded',
  'waiting_approval',
  'rejected',
  'assigned',
  'in_diagnosis',
  'escalated',
  'dispatched',
  'waiting_customer',
  'resolved',
  'verified',
  'confirmed',
  'closed',
  'reviewed',
  'merged',
  'all',
] as const;
export const SEVERITY_FILTERS = ['critical', 'major', 'minor', 'warning', 'indeterminate'] as const;

export const PRIORITY_FILTERS = ['p1', 'p2', 'p3', 'p4'] as const;
/** Columns beside the number. */
export const COLUMNS = [
  ...(['severity', 'priority', 'what', 'device', 'resource', 'site'] as const),
  ...(['state', 'assignee', 'left', 'opened', 'recurrences'] as const),
] as const;
export type Column = (typeof COLUMNS)[number];
/** Those that are shown unless a view says otherwise. */
export const USUAL_COLUMNS: readonly Column[] = COLUMNS.filter((name) => name !== 'assignee');
export const SORTS = ['number', 'left'] as const;

/** The filter in an address; anything unknown is the default. */
export function readFilter(search: URLSearchParams): TicketFilter {
  const one = <T extends string>(name: string, valid: readonly T[], otherwise: string): string => {
    const found = search.get(name) ?? '';
    return (valid as readonly string[]).includes(found) ? found : otherwise;
  };
  const limit = Number(search.get('limit'));
  return {
    state: one('state', STATE_FILTERS, 'open'),
    severity: one('severity', SEVERITY_FILTERS, ''),
    priority: one('priority', PRIORITY_FILTERS, ''),
    assignee: (search.get('assignee') ?? '').slice(0, 100),
    q: (search.get('q') ?? '').slice(0, 200),
    test: search.get('test') === '1',
    sort: one('sort', SORTS, 'number'),
    limit: (PAGE_SIZES as readonly number[]).includes(limit) ? limit : 50,
    before: search.get('before'),
    columns: columnsIn(search.get('columns') ?? ''),
  };
}

/** The address of a filter: only what differs from the default. */
export function writeFilter(filter: TicketFilter): URLSearchParams {
  const search = new URLSearchParams();
  if (filter.state !== 'open') search.set('state', filter.state);
  if (filter.severity !== '') search.set('severity', filter.severity);
  if (filter.priority !== '') search.set('priority', filter.priority);
  if (filter.assignee !== '') search.set('assignee', filter.assignee);
  if (filter.q !== '') search.set('q', filter.q);
  if (filter.test) search.set('test', '1');
  if (filter.sort !== 'number') search.set('sort', filter.sort);
  if (filter.limit !== 50) search.set('limit', String(filter.limit));
  if (filter.columns.length > 0) search.set('columns', filter.columns.join(','));
  if (filter.before !== null) search.set('before', filter.before);
  return search;
}

export function isFiltered(filter: TicketFilter): boolean {
  return writeFilter({ ...filter, ...USUAL, before: null }).size > 0;
}

/** What is shown, not which: clearing filters leaves it. */
const USUAL = { sort: 'number', limit: 50, columns: [] as string[] };

function columnsIn(text: string): string[] {
  const known = text.split(',').filter((name) => (COLUMNS as readonly string[]).includes(name));
  return [...new Set(known)];
}

/** A filter as a view keeps it: what the collector's list takes. */
export function viewQuery(filter: TicketFilter): string {
  const search = writeFilter({ ...filter, test: false, before: null, columns: [] });
  search.set('state', filter.state);
  if (!filter.test) search.set('test', '0');
  return search.toString();
}

/** The filter that a view keeps. */
export function fromView(view: View): TicketFilter {
  const search = new URLSearchParams(view.query);
  const test = search.get('test') !== '0';
  search.delete('before');
  return { ...readFilter(search), test, columns: columnsIn(view.columns.join(',')) };
}

/** The view that an address shows, if it is one. */
export function viewOf(filter: TicketFilter, views: readonly View[]): View | null {
  const now = writeFilter({ ...filter, before: null }).toString();
  return views.find((view) => writeFilter(fromView(view)).toString() === now) ?? null;
}

/** What has been seen of the queue so far. */
export interface Seen {
  /** Opening time of the newest ticket seen; null before the first answer. */
  newest: string | null;
  numbers: ReadonlySet<string>;
}

export const NOTHING_SEEN: Seen = { newest: null, numbers: new Set() };

/** The tickets of an answer that were opened after everything seen before, and what is seen now. */
export function news(seen: Seen, items: readonly TicketSummary[], first: boolean): [string[], Seen] {
  const fresh = first
    ? []
    : items
        .filter((t) => !seen.numbers.has(t.number) && (seen.newest === null || t.opened_at >= seen.newest))
        .map((t) => t.number);
  const numbers = new Set(items.map((t) => t.number));
  const newest = items.reduce<string | null>(
    (max, t) => (max === null || t.opened_at > max ? t.opened_at : max),
    seen.newest,
  );
  return [fresh, { newest, numbers }];
}
