// What the centre's big screen shows. Pure.

import type { Agent, Due, TicketList, TicketSummary } from '../api';
import { agentState } from './fleet';
import { PRIORITY_FILTERS } from './queue';

export interface Count {
  priority: string;
  all: number;
  nobody: number;
}

/** How many are open, most urgent first, and how many of them are nobody's. */
export function counts(tickets: readonly TicketSummary[]): Count[] {
  return PRIORITY_FILTERS.map((priority) => {
    const those = tickets.filter((ticket) => ticket.priority === priority);
    return { priority, all: those.length, nobody: those.filter((ticket) => ticket.assignee === null).length };
  });
}

/** Those whose time runs out first, with their clocks. */
export function running(list: TicketList, most: number): { ticket: TicketSummary; due: Due }[] {
  const due = new Map(list.due.map((one) => [one.number, one]));
  const found = list.items.flatMap((ticket) => {
    const one = due.get(ticket.number);
    return one === undefined ? [] : [{ ticket, due: one }];
  });
  return found.sort((a, b) => Date.parse(a.due.due_at) - Date.parse(b.due.due_at)).slice(0, most);
}

/** Agents that should be heard and are not, the longest silence first. */
export function silent(agents: readonly Agent[]): Agent[] {
  const all = agents.filter((agent) => agentState(agent) === 'silent');
  return all.sort((a, b) => Date.parse(a.last_seen_at ?? '') - Date.parse(b.last_seen_at ?? ''));
}
