// The client of the collector's API.

import type {
  Absence,
  AbsenceWish,
  Agent,
  AgentPage,
  AlarmList,
  Article,
  ArticleList,
  ArticleWish,
  AuditFilter,
  AuditList,
  AuditState,
  Bulk,
  BulkDone,
  CalendarList,
  CallList,
  Choices,
  Colleague,
  Device,
  DevicePage,
  DueList,
  DutyBoard,
  DutyNow,
  Explanation,
  ImportDone,
  Language,
  Maintenance,
  MaintenanceList,
  MaintenancePreview,
  MaintenanceWish,
  Master,
  MasterList,
  Me,
  Mine,
  MyDeviceList,
  MyNewTicket,
  MyNotices,
  MyTicketList,
  MyTicketPage,
  NewTicket,
  NoticeList,
  OfferedArticles,
  PathPage,
  PlanList,
  Report,
  ReportAsked,
  Resync,
  SplitDone,
  Step,
  Ticket,
  TicketChange,
  TicketClocks,
  TicketFilter,
  TicketList,
  TicketPage,
  TicketState,
  TokenList,
  TokenMade,
  TokenWish,
  TrustState,
  View,
  ViewWish,
  Ways,
  Written,
} from './answers';

export type * from './answers';

/** A request that did not do what was asked. `status` 0: the collector was not reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** The record as it is now, when somebody was faster. */
    readonly present: Master | null = null,
  ) {
    super(message);
  }
}

/** What the client tells the rest of the console. */
export interface Listener {
  /** The session ended (or never was). */
  onUnauthorised(): void;
}

let csrf = '';
let userName = '';
let listener: Listener | null = null;
let skewMs = 0;

export function listen(to: Listener | null): void {
  listener = to;
}

/** The collector's clock, as far as its answers tell: ages must not depend on this machine's. */
export function collectorNow(): number {
  return Date.now() + skewMs;
}

/** Learns the difference of the clocks from an answer's Date header, which is exact to a second. */
export function learnClock(date: string | null, here = Date.now()): void {
  const there = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(there)) return;
  const difference = there + 500 - here;
  skewMs = Math.abs(difference) < 2_000 ? 0 : difference;
}

export async function problem(response: Response): Promise<ApiError> {
  try {
    const body = (await response.json()) as {
      error?: { code?: unknown; message?: unknown; present?: Master };
    };
    const code = typeof body.error?.code === 'string' ? body.error.code : '';
    const message = typeof body.error?.message === 'string' ? body.error.message : '';
    return new ApiError(response.status, code, message, body.error?.present ?? null);
  } catch {
    return new ApiError(response.status, '', '');
  }
}

async function request<T>(
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  try {
    return await send<T>(method, path, body, signal);
  } catch (error) {
    // Another tab has logged in again: this one takes over its token, if it is the same person.
    if (!(error instanceof ApiError && error.code === 'csrf')) throw error;
    const before = userName;
    const me = remember(await send<Me>('GET', '/me'));
    if (me.user.name === before) return await send<T>(method, path, body, signal);
    location.reload();
    throw error;
  }
}

async function send<T>(
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (method !== 'GET') headers['x-csrf-token'] = csrf;
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      credentials: 'same-origin',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', '');
  }
  learnClock(response.headers.get('date'));
  if (!response.ok) {
    const error = await problem(response);
    if (response.status === 401 && path !== '/login') listener?.onUnauthorised();
    throw error;
  }
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** Query text without empty parts. */
export function query(parts: Record<string, string | number | null | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

function remember(me: Me): Me {
  csrf = me.csrf;
  userName = me.user.name;
  return me;
}

const at = encodeURIComponent;

/** Where a bundle's file is; the browser saves it by the name that the answer gives. */
export const bundleContent = (id: string) => `/api/v1/bundles/${at(id)}/content`;

/** Where all of a kind are as a file. */
export const mastersExport = (kind: string, format: 'csv' | 'json') =>
  `/api/v1/exports/${at(kind)}${query({ format })}`;

/** Where a report is as a table; the browser saves it by the name that the answer gives. */
export const reportExport = (a: ReportAsked) => `/api/v1/reports/export${query({ from: a.from, to: a.to, by: a.by, time_zone: a.time_zone, customer: a.customer, site: a.site, plan: a.plan })}`;

/** Where the record's entries of a filter are as a file; the browser saves it by the name that the answer gives. */
export const auditExport = (f: AuditFilter) =>
  `/api/v1/audit/export${query({ agent: f.agent, who: f.who, what: f.what, from: f.from, to: f.to })}`;

export const api = {
  login: (name: string, password: string) =>
    request<Me>('POST', '/login', { name, password }).then(remember),
  ways: () => request<Ways>('GET', '/login'),
  logout: () => request<void>('POST', '/logout', {}),
  me: () => request<Me>('GET', '/me').then(remember),
  changePassword: (old: string, fresh: string) =>
    request<unknown>('POST', '/me/password', { old, new: fresh }),
  setLanguage: (language: Language) => request<unknown>('POST', '/me/language', { language }),

  tickets: (f: TicketFilter, signal?: AbortSignal) =>
    request<TicketList>(
      'GET',
      `/tickets${query({
        state: f.state,
        severity: f.severity,
        priority: f.priority,
        assignee: f.assignee,
        q: f.q,
        test: f.test ? null : 0,
        sort: f.sort,
        limit: f.limit,
        before: f.before,
      })}`,
      undefined,
      signal,
    ),
  views: (signal?: AbortSignal) => request<View[]>('GET', '/views', undefined, signal),
  keepView: (wish: ViewWish) => request<View>('POST', '/views', wish),
  changeView: (id: string, wish: ViewWish) => request<View>('POST', `/views/${at(id)}`, wish),
  removeView: (id: string, version: number) => request<void>('POST', `/views/${at(id)}/removal`, { version }),
  report: (a: ReportAsked, signal?: AbortSignal) =>
    request<Report>('GET', `/reports${query({ from: a.from, to: a.to, by: a.by, time_zone: a.time_zone, customer: a.customer, site: a.site, plan: a.plan })}`, undefined, signal),
  split: (number: string, version: number, alarms: string[], reason: string) =>
    request<SplitDone>('POST', `/tickets/${at(number)}/split`, { version, alarms, reason }),
  bulk: (wish: Bulk) => request<BulkDone>('POST', '/bulk', wish),
  ticket: (number: string, signal?: AbortSignal) =>
    request<TicketPage>('GET', `/tickets/${at(number)}`, undefined, signal),
  transition: (number: string, step: Step) =>
    request<unknown>('POST', `/tickets/${at(number)}/transitions`, step),
  decide: (number: string, to: TicketState, version: number, comment: string, plan: string) =>
    request<unknown>('POST', `/tickets/${at(number)}/decision`, {
      to,
      version,
      comment,
      ...(plan === '' ? {} : { plan }),
    }),
  comment: (number: string, text: string, visible: boolean) =>
    request<unknown>('POST', `/tickets/${at(number)}/comments`, { text, visible }),
  record: (ticket: NewTicket) => request<Ticket>('POST', '/tickets', ticket),
  changeTicket: (number: string, version: number, change: TicketChange) =>
    request<unknown>('POST', `/tickets/${at(number)}/changes`, { version, ...change }),
  merge: (number: string, version: number, into: string) =>
    request<unknown>('POST', `/tickets/${at(number)}/merge`, { version, into }),
  link: (number: string, other: string, tied: boolean) =>
    request<unknown>('POST', `/tickets/${at(number)}/links`, { other, tied }),
  people: (signal?: AbortSignal) => request<Colleague[]>('GET', '/people', undefined, signal),

  masters: (kind: string, q: string, toComplete: boolean, after: string, signal?: AbortSignal) =>
    request<MasterList>(
      'GET',
      `/masters/${at(kind)}${query({ q, to_complete: toComplete ? 1 : null, after, limit: 100 })}`,
      undefined,
      signal,
    ),
  addMaster: (kind: string, id: string, values: Record<string, string>) =>
    request<Master>('POST', `/masters/${at(kind)}`, { id, values }),
  changeMaster: (kind: string, id: string, version: number, values: Record<string, string>) =>
    request<Master>('POST', `/masters/${at(kind)}/${at(id)}`, { version, values }),
  removeMaster: (kind: string, id: string, version: number) =>
    request<void>('POST', `/masters/${at(kind)}/${at(id)}/removal`, { version }),
  importMasters: (kind: string, format: 'csv' | 'json', text: string, dryRun: boolean) =>
    request<ImportDone>('POST', `/imports/${at(kind)}`, { format, text, dry_run: dryRun }),

  explain: (number: string, signal?: AbortSignal) =>
    request<Explanation>('GET', `/tickets/${at(number)}/explain`, undefined, signal),
  clocks: (number: string, signal?: AbortSignal) =>
    request<TicketClocks>('GET', `/tickets/${at(number)}/clocks`, undefined, signal),
  moveClock: (number: string, clock: string, deed: 'start' | 'stop' | 'pause' | 'resume', reason = '') =>
    request<TicketClocks>('POST', `/tickets/${at(number)}/clocks`, { clock, deed, reason }),
  promisePlan: (number: string, version: number, plan: string, reason: string) =>
    request<Ticket>('POST', `/tickets/${at(number)}/plan`, { version, plan, reason }),
  articles: (q: string, after: string, signal?: AbortSignal) =>
    request<ArticleList>('GET', `/articles${query({ q, after })}`, undefined, signal),
  addArticle: (wish: ArticleWish) => request<Article>('POST', '/articles', wish),
  changeArticle: (id: string, wish: ArticleWish) => request<Article>('POST', `/articles/${at(id)}`, wish),
  removeArticle: (id: string, version: number) => request<void>('POST', `/articles/${at(id)}/removal`, { version }),
  offered: (number: string, signal?: AbortSignal) =>
    request<OfferedArticles>('GET', `/tickets/${at(number)}/articles`, undefined, signal),
  articleFrom: (number: string) => request<Article>('POST', `/tickets/${at(number)}/articles`, {}),
  plans: (signal?: AbortSignal) => request<PlanList>('GET', '/plans', undefined, signal),
  putPlan: (name: string, version: number, plan: unknown) =>
    request<Written>('POST', `/plans/${at(name)}`, { version, plan }),
  removePlan: (name: string, version: number) => request<Written>('POST', `/plans/${at(name)}/removal`, { version }),
  calendars: (signal?: AbortSignal) => request<CalendarList>('GET', '/calendars', undefined, signal),
  putCalendar: (name: string, version: number, calendar: unknown) =>
    request<Written>('POST', `/calendars/${at(name)}`, { version, calendar }),
  addDays: (name: string, version: number, icalendar: string, replace: boolean) =>
    request<Written>('POST', `/calendars/${at(name)}/days`, { version, icalendar, replace }),
  removeCalendar: (name: string, version: number) =>
    request<Written>('POST', `/calendars/${at(name)}/removal`, { version }),
  due: (after: string | null, signal?: AbortSignal) =>
    request<DueList>('GET', `/due${query({ limit: 200, after })}`, undefined, signal),

  agents: (signal?: AbortSignal) => request<Agent[]>('GET', '/agents', undefined, signal),
  maintenance: (signal?: AbortSignal) => request<MaintenanceList>('GET', '/maintenance', undefined, signal),
  previewMaintenance: (wish: MaintenanceWish) => request<MaintenancePreview>('POST', '/maintenance/preview', wish),
  duty: (signal?: AbortSignal) => request<DutyNow>('GET', '/duty', undefined, signal),
  dutyBoard: (signal?: AbortSignal) => request<DutyBoard>('GET', '/duty/board', undefined, signal),
  swapShift: (id: string, to: string, reason: string) =>
    request<void>('POST', `/shifts/${at(id)}/swap`, { to, reason }),
  addAbsence: (wish: AbsenceWish) => request<Absence>('POST', '/absences', wish),
  endAbsence: (id: string) => request<void>('DELETE', `/absences/${at(id)}`),
  calls: (number: string, signal?: AbortSignal) =>
    request<CallList>('GET', `/tickets/${at(number)}/calls`, undefined, signal),
  acknowledge: (number: string, take: boolean) =>
    request<unknown>('POST', `/tickets/${at(number)}/acknowledgement`, { take }),
  ticketNotices: (number: string, signal?: AbortSignal) =>
    request<NoticeList>('GET', `/tickets/${at(number)}/notices`, undefined, signal),
  notices: (state: string, signal?: AbortSignal) =>
    request<NoticeList>('GET', `/notices${query({ state, limit: 200 })}`, undefined, signal),
  myNotices: (signal?: AbortSignal) => request<MyNotices>('GET', '/me/notices', undefined, signal),
  chooseNotices: (choices: Choices) => request<MyNotices>('POST', '/me/notices', choices),
  tryNotices: () => request<void>('POST', '/me/notices/test', { really: true }),
  beginMaintenance: (wish: MaintenanceWish) => request<Maintenance>('POST', '/maintenance', wish),
  endMaintenance: (id: string) => request<void>('DELETE', `/maintenance/${at(id)}`),
  tokens: (signal?: AbortSignal) => request<TokenList>('GET', '/tokens', undefined, signal),
  makeToken: (wish: TokenWish) => request<TokenMade>('POST', '/tokens', wish),
  revokeToken: (id: string) => request<void>('POST', `/tokens/${at(id)}/revocation`, {}),
  mine: (signal?: AbortSignal) => request<Mine>('GET', '/mine', undefined, signal),
  myDevices: (signal?: AbortSignal) => request<MyDeviceList>('GET', `/mine/devices${query({ limit: 200 })}`, undefined, signal),
  myTickets: (all: boolean, before: string | null, signal?: AbortSignal) =>
    request<MyTicketList>('GET', `/mine/tickets${query({ all: all ? 1 : null, before })}`, undefined, signal),
  myTicket: (number: string, signal?: AbortSignal) =>
    request<MyTicketPage>('GET', `/mine/tickets/${at(number)}`, undefined, signal),
  openMyTicket: (wish: MyNewTicket) => request<MyTicketPage>('POST', '/mine/tickets', wish),
  commentMine: (number: string, text: string) =>
    request<MyTicketPage>('POST', `/mine/tickets/${at(number)}/comments`, { text }),
  confirmMine: (number: string, version: number, fixed: boolean, comment: string) =>
    request<MyTicketPage>('POST', `/mine/tickets/${at(number)}/confirmation`, { version, fixed, comment }),
  trust: (signal?: AbortSignal) => request<TrustState>('GET', '/trust', undefined, signal),
  audit: (f: AuditFilter, signal?: AbortSignal) =>
    request<AuditList>(
      'GET',
      `/audit${query({
        agent: f.agent,
        who: f.who,
        what: f.what,
        from: f.from,
        to: f.to,
        limit: f.limit,
        before: f.before,
      })}`,
      undefined,
      signal,
    ),
  auditState: (signal?: AbortSignal) =>
    request<AuditState>('GET', '/audit/verification', undefined, signal),
  verifyAudit: () => request<AuditState>('POST', '/audit/verification', {}),
  agent: (id: string, signal?: AbortSignal) =>
    request<AgentPage>('GET', `/agents/${at(id)}`, undefined, signal),
  agentPaths: (id: string, signal?: AbortSignal) =>
    request<PathPage>('GET', `/agents/${at(id)}/paths`, undefined, signal),
  agentResyncs: (id: string, signal?: AbortSignal) =>
    request<Resync[]>('GET', `/agents/${at(id)}/resyncs`, undefined, signal),
  agentAlarms: (agent: string, signal?: AbortSignal) =>
    request<AlarmList>('GET', `/alarms${query({ active: 1, agent })}`, undefined, signal),
  device: (agent: string, id: string, signal?: AbortSignal) =>
    request<DevicePage>('GET', `/devices/${at(agent)}/${at(id)}`, undefined, signal),
  deviceAlarms: (agent: string, device: string, signal?: AbortSignal) =>
    request<AlarmList>('GET', `/alarms${query({ active: 1, agent, device })}`, undefined, signal),
  devices: (agent: string | null, signal?: AbortSignal) =>
    request<Device[]>('GET', `/devices${query({ agent })}`, undefined, signal),
};
