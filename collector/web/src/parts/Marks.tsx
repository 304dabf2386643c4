// Small coloured words: severity, state, priority. Colour never stands alone.

import type { Severity, TicketState } from '../api';
import { useI18n } from '../i18n';

const SEVERITIES: readonly string[] = ['critical', 'major', 'minor', 'warning', 'indeterminate'];
const STATES: readonly string[] = [
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
];

export function isSeverity(text: unknown): text is Severity {
  return typeof text === 'string' && SEVERITIES.includes(text);
}

export function isState(text: unknown): text is TicketState {
  return typeof text === 'string' && STATES.includes(text);
}

/** A severity of a newer collector shows under its own name. */
export function SeverityMark({ severity }: { severity: string }) {
  const { t } = useI18n();
  const known = isSeverity(severity);
  return (
    <span className={`mark severity ${known ? severity : 'indeterminate'}`}>
      {known ? t(`severity.${severity}`) : severity}
    </span>
  );
}

export function StateMark({ state }: { state: string }) {
  const { t } = useI18n();
  const known = isState(state);
  return (
    <span className={`mark state ${known ? state : 'closed'}`}>
      {known ? t(`state.${state}`) : state}
    </span>
  );
}

export function PriorityMark({ priority }: { priority: string }) {
  return <span className={`priority ${priority}`}>{priority.toUpperCase()}</span>;
}
