// Clocks of tickets, service plans, calendars.

import type { TicketSummary } from './tickets';
import type { Title } from './words';

/** Why a stretch of a clock's life counted or not. */
export interface ClockLine {
  from: string;
  to: string;
  counted_ms: number;
  elapsed_ms: number;
  /** `inside`, `outside`, `working_day`, `holiday`, `paused`, `done`. */
  because: string;
  note: string;
  priority: string;
}

export interface Clock {
  name: string;
  title: Title | null;
  /** `running`, `paused`, `stopped`, `dropped`. */
  state: string;
  within: string;
  hours: string;
  started_at: string;
  due_at: string | null;
  stopped_at: string | null;
  budget_ms: number | null;
  elapsed_ms: number;
  left_ms: number | null;
  kept: boolean | null;
  warn_at: number;
  explain: ClockLine[];
  explain_left_out: number;
}

export interface TicketClocks {
  plan: string | null;
  plan_version: number | null;
  title: Title | null;
  time_zone: string | null;
  calendar: string | null;
  clocks: Clock[];
  startable: string[];
}

export interface PlanLimit {
  within: string;
  hours?: string;
}

export interface PlanBody {
  title: Title;
  note?: Title;
  base?: string;
  default_hours?: string;
  names?: Record<string, Title>;
  priorities: Record<string, Record<string, PlanLimit>>;
}

export interface PlanView {
  name: string;
  version: number;
  preset: boolean;
  changed_at: string;
  changed_by: string;
  plan: PlanBody;
}

export interface CalendarDay {
  from: string;
  to?: string;
  kind: string;
  note?: string;
}

export interface CalendarBody {
  title?: string;
  time_zone?: string;
  days?: CalendarDay[];
}

export interface CalendarView {
  name: string;
  version: number;
  changed_at: string;
  changed_by: string;
  calendar: CalendarBody;
}

export interface PlanList {
  items: PlanView[];
}

export interface CalendarList {
  items: CalendarView[];
}

export interface Written {
  version: number;
}

export interface DueTicket {
  ticket: TicketSummary;
  clock: string;
  due_at: string;
}

export interface DueList {
  items: DueTicket[];
  next: string | null;
}
