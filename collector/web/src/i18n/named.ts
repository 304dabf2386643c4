// Words for names that the collector or an agent sends.

import { isKey, type Key } from './en';
import type { Translate } from './format';

type Kind =
  | 'severity'
  | 'bundle'
  | 'state'
  | 'level'
  | 'category'
  | 'class'
  | 'intake'
  | 'field'
  | 'choice'
  | 'evidence'
  | 'kind'
  | 'part'
  | 'change'
  | 'loss'
  | 'reject'
  | 'hop'
  | 'role'
  | 'reason'
  | 'fleet.source'
  | 'agent.lane'
  | 'trust'
  | 'deed'
  | 'resync'
  | 'hint'
  | 'chosen'
  | 'clock'
  | 'level'
  | 'because'
  | 'step'
  | 'call'
  | 'why'
  | 'told'
  | 'notice'
  | 'day'
  | 'scope'
  | 'happened';

/** The word for a name if there is one, else the name itself. */
export function named(kind: Kind, name: string, t: Translate): string {
  const key = `${kind}${kind.includes('.') ? '-' : '.'}${name}`;
  return isKey(key) ? t(key as Key & 'app.name') : name;
}
