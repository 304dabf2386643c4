import type { MaintenanceWish } from '../api';

/** Whose alarms a window holds back. */
export type ScopeKind = 'agent' | 'site' | 'devices';

/** What is asked of the collector; null while something is missing. Devices are named as JSON `[agent, id]`. */
export function wishOf(
  kind: ScopeKind,
  names: string[],
  from: string,
  hours: number,
  reason: string,
  now: Date,
): MaintenanceWish | null {
  const begins = from === '' ? now : new Date(from);
  const [first] = names;
  if (first === undefined || reason.trim() === '' || Number.isNaN(begins.getTime()) || !(hours > 0)) return null;
  const wish: MaintenanceWish = {
    until: new Date(begins.getTime() + hours * 3_600_000).toISOString(),
    reason: reason.trim(),
  };
  if (from !== '') wish.from = begins.toISOString();
  if (kind === 'devices') {
    wish.devices = names.map((name) => {
      const [agent = '', id = ''] = JSON.parse(name) as string[];
      return { agent, id };
    });
  } else {
    wish[kind] = first;
  }
  return wish;
}
