// The desk's queue: views that are kept, one thing done to many tickets; tickets that are split.

import type { Ticket } from './tickets';

/** A view of the queue. */
export interface View {
  id: string;
  name: string;
  owner: string;
  shared: boolean;
  /** What the list of tickets takes. */
  query: string;
  columns: string[];
  version: number;
  updated_at: string;
}

export interface ViewWish {
  version: number;
  name: string;
  shared: boolean;
  query: string;
  columns: string[];
}

export interface Picked {
  number: string;
  version: number;
}

/** One thing to be done: exactly one of the optional ones. */
export interface Bulk {
  tickets: Picked[];
  assignee?: string;
  priority?: string;
  comment?: string;
  visible?: boolean;
  link?: string;
  merge?: string;
}

export interface BulkResult {
  number: string;
  version: number | null;
  error: { code: string; message: string } | null;
}

export interface BulkDone {
  done: number;
  results: BulkResult[];
}

/** The two tickets of a split. */
export interface SplitDone {
  from: Ticket;
  into: Ticket;
}
