// How an agent is doing, from what the collector knows. Pure.

import type { Agent, Heartbeat, SourceHealth } from '../api';
import { readTime } from '../time';

export type AgentState = 'online' | 'silent' | 'never' | 'revoked';

export function agentState(agent: Agent): AgentState {
  if (agent.revoked) return 'revoked';
  if (agent.online) return 'online';
  return agent.last_seen_at === null ? 'never' : 'silent';
}

/** What waits in the agent's outbox, all lanes together. */
export function outbox(heartbeat: Heartbeat | null): { depth: number; oldestS: number } | null {
  const lanes = heartbeat?.lanes ?? [];
  if (lanes.length === 0) return null;
  return {
    depth: lanes.reduce((sum, lane) => sum + lane.depth, 0),
    oldestS: lanes.reduce((max, lane) => (lane.depth > 0 ? Math.max(max, lane.oldest_s) : max), 0),
  };
}

export function sourcesOk(sources: readonly SourceHealth[]): { ok: number; all: number; worst: string } {
  const order = ['ok', 'starting', 'degraded', 'failed'];
  const worst = sources.reduce((w, s) => (order.indexOf(s.state) > order.indexOf(w) ? s.state : w), 'ok');
  return { ok: sources.filter((s) => s.state === 'ok').length, all: sources.length, worst };
}

const DAY_MS = 86_400_000;

export type CertificateState = 'fine' | 'soon' | 'urgent' | 'expired';

/** Certificates renew by themselves well before 30 days; later than that somebody should look. */
export function certificateState(notAfter: string | null, now: number): CertificateState | null {
  const end = readTime(notAfter);
  if (end === null) return null;
  const left = end - now;
  if (left <= 0) return 'expired';
  if (left < 7 * DAY_MS) return 'urgent';
  return left < 30 * DAY_MS ? 'soon' : 'fine';
}

/** Whether any of the texts holds all words of the search. */
export function matches(search: string, texts: readonly (string | null | undefined)[]): boolean {
  const whole = texts.filter(Boolean).join('\n').toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((part) => whole.includes(part));
}

/** How loud a hint is: what still reads is no failure. */
export function hintKind(hint: string): 'info' | 'warning' | 'error' {
  if (hint === 'no-profile') return 'info';
  return hint === 'partly' || hint === 'interval' ? 'warning' : 'error';
}

/** Alarms that no agent brought: `alertmanager:<name>` stands in its place. */
export function isAlertmanager(agent: string): boolean {
  return agent.startsWith('alertmanager:');
}
