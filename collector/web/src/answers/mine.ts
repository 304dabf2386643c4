// What a customer's people see.

import type { Message } from './words';

export interface MySite {
  id: string;
  name: string;
}

export interface Mine {
  customer: string;
  sites: MySite[];
}

export interface MyDevice {
  serial: string;
  name: string;
  vendor: string;
  model: string;
  site: string;
  active_alarms: number;
}

export interface MyDeviceList {
  items: MyDevice[];
  next: string | null;
}

export interface MyTicket {
  number: string;
  state: string;
  priority: string;
  severity: string;
  title: Message;
  text: string;
  device: string;
  resource: string;
  site: string | null;
  opened_at: string;
  updated_at: string;
  condition_cleared_at: string | null;
  closed_at: string | null;
  version: number;
}

export interface MyTicketList {
  items: MyTicket[];
  next: string | null;
}

export interface MyEntry {
  at: string;
  /** `customer`, `support`, `device`. */
  by: string;
  what: string;
  to: string | null;
  text: string | null;
}

export interface MyTicketPage {
  ticket: MyTicket;
  may_confirm: boolean;
  cause: string | null;
  fix: string | null;
  timeline: MyEntry[];
}

export interface MyNewTicket {
  text: string;
  site: string;
  serial: string;
}
