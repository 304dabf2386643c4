// Tickets: what they show, and what people send.

import type { Alarm, Bundle, Evidence } from './alarms';
import type { Master } from './masters';
import type { Message, Severity, TicketState } from './words';

export interface TicketSummary {
  number: string;
  state: TicketState;
  priority: string;
  severity: Severity;
  title: Message;
  text: string;
  agent: string;
  device: { id: string; name: string };
  resource: string;
  type: string;
  site: string | null;
  customer: string | null;
  contract: string | null;
  assignee: string | null;
  opened_at: string;
  updated_at: string;
  condition_cleared_at: string | null;
  recurrences: number;
  test: boolean;
  class: string;
  category: string | null;
  level: string | null;
  major: boolean;
  plan: string | null;
  covered: boolean | null;
  opened_by: string | null;
  merged_into: string | null;
  version: number;
}

/** What was known of a ticket's cover at its opening. */
export interface Entitlement {
  /** `covered` or `not-covered`. */
  verdict: string;
  why: string | null;
  contract: string | null;
  plan: string | null;
  until: string | null;
  day: string | null;
}

export interface ClosingReport {
  cause: string;
  fix: string;
  category: string;
}

export interface Ticket extends TicketSummary {
  proposed_repair: string | null;
  fault_code: string | null;
  resolved_at: string | null;
  closed_at: string | null;
  entitlement: Entitlement | null;
  intake: Record<string, string>;
  closing: ClosingReport | null;
}

export interface TimelineEntry {
  id: string;
  at: string;
  who: string;
  what: string;
  detail: unknown;
}

export interface TicketPage {
  ticket: Ticket;
  allowed: TicketState[];
  /** Those of `allowed` that need a comment. */
  comment_required: TicketState[];
  /** Those that a manager may decide on; all need a reason. */
  decisions: TicketState[];
  links: string[];
  contacts: Master[];
  alarms: Alarm[];
  evidence: Evidence[];
  bundles: Bundle[];
  timeline: TimelineEntry[];
}

/** When the first limit of a ticket is over. */
export interface Due {
  number: string;
  clock: string;
  due_at: string;
}

export interface TicketList {
  items: TicketSummary[];
  /** Of those whose time runs. */
  due: Due[];
  next: string | null;
}

export interface Consequence {
  alarm_id: string;
  device: string;
  resource: string;
  type: string;
  severity: Severity;
  active: boolean;
  raised_at: string;
  cause_type: string | null;
  /** `parent`, `hangs-on`, `powered-by`. */
  relation: string | null;
  path: string[];
  after_ms: number | null;
}

/** The same fault on many sites in a short time. */
export interface FleetProblem {
  type: string;
  rule: string;
  model: string;
  sites: number;
  others: string[];
}

/** Why there is a ticket, and what was suppressed by it. */
export interface Explanation {
  number: string;
  reason: string;
  alarm_id: string | null;
  rule: string | null;
  waited_ms: number | null;
  /** `hold-down`, `cause`. */
  waited_for: string | null;
  flapping: boolean;
  lives: number;
  transients: number;
  consequence_count: number;
  consequences_active: number;
  consequences: Consequence[];
  fleet: FleetProblem | null;
  merged_into: string | null;
}

export interface TicketFilter {
  state: string;
  severity: string;
  priority: string;
  /** A user's name, `me`, `none`; empty: anybody's. */
  assignee: string;
  q: string;
  test: boolean;
  /** `number`: the latest first. `left`: the least time left first. */
  sort: string;
  limit: number;
  before: string | null;
  /** Columns beside the number; none: the usual ones. Nothing that is asked of the collector. */
  columns: string[];
}

/** A step of a ticket, with what goes with it. */
export interface Step {
  to: TicketState;
  version: number;
  comment?: string;
  level?: string;
  closing?: ClosingReport;
}

/** What is to be different. */
export interface TicketChange {
  assignee?: string;
  priority?: string;
  class?: string;
  category?: string;
  major?: boolean;
}

/** A ticket as a person records it. */
export interface NewTicket {
  text: string;
  priority: string;
  class: string;
  category?: string;
  site: string;
  serial: string;
  contract: string;
  error_code: string;
  assignee?: string;
  contact: string;
  reach: string;
  access: string;
  model: string;
  os: string;
  wished: string;
  /** When people noticed the fault; empty: nobody told. */
  noticed_at: string;
}
