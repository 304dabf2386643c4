// Alarms, their evidence, bundles.

import type { Message, Severity } from './words';

export interface RuleRef {
  pack: string;
  version: string;
  id: string;
}

export interface Alarm {
  alarm_id: string;
  agent: string;
  device_id: string;
  device_name: string;
  resource: string;
  type: string;
  qualifier: string;
  severity: Severity;
  active: boolean;
  message: Message;
  text: string;
  rule: RuleRef;
  fault_code: string | null;
  proposed_repair: string | null;
  raised_at: string;
  changed_at: string;
  cleared_at: string | null;
  test: boolean;
  ticket: string | null;
}

export interface Evidence {
  alarm_id: string;
  kind: string;
  origin: string;
  at: string;
  text: string;
  truncated: boolean;
}

export interface BundleContent {
  name: string;
  size: number;
  /** Places that redaction replaced; null: a binary file, packed as it was. */
  replaced: number | null;
}

export interface Bundle {
  id: string;
  agent: string;
  ticket: string;
  name: string;
  size: number;
  sha256: string;
  /** `open`, `complete`, `refused`, `removed`. */
  state: string;
  reason: string | null;
  received: number;
  missing: boolean;
  collector: string;
  note: string | null;
  contents: BundleContent[];
  approved_by: string | null;
  approved_at: string | null;
  /** `person` or `rule`. */
  approved_how: string | null;
  declared_at: string;
  completed_at: string | null;
  removed_at: string | null;
}

export interface AlarmList {
  items: Alarm[];
  next: string | null;
}
