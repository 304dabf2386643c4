// Words and texts that many answers share.

export type Language = 'zh-CN' | 'en';

export type Severity = 'critical' | 'major' | 'minor' | 'warning' | 'indeterminate';

export type TicketState =
  | 'recorded'
  | 'waiting_approval'
  | 'rejected'
  | 'assigned'
  | 'in_diagnosis'
  | 'escalated'
  | 'dispatched'
  | 'waiting_customer'
  | 'resolved'
  | 'verified'
  | 'confirmed'
  | 'closed'
  | 'reviewed'
  | 'merged';

export interface Message {
  key: string;
  arguments?: Record<string, string>;
}

export type Title = Readonly<Record<Language, string>>;
