// Certificates and the record of trust.

export interface OwnCertificate {
  /** `server`, `ca`, `next-ca`, `former-ca`. */
  what: string;
  name: string;
  not_after: string;
  severity: 'warning' | 'major' | 'critical' | null;
}

export interface TrustState {
  certificates: OwnCertificate[];
}

export interface AuditEntry {
  row: string;
  at: string;
  /** `cli:<user>`, `user:<name>`, `agent:<id>`, `collector`. */
  who: string;
  what: string;
  subject: string;
  /** Canonical JSON. */
  detail: string;
  previous: string;
  hash: string;
}

export interface AuditList {
  items: AuditEntry[];
  next: string | null;
}

export interface AuditBreak {
  row: string;
  to: string;
  kind: string;
  text: string;
}

export interface AuditVerdict {
  at: string;
  whole: boolean;
  good_up_to: string;
  rows: number;
  head: string;
  breaks: AuditBreak[];
}

export interface AuditState {
  verdict: AuditVerdict | null;
}

export interface AuditFilter {
  agent: string;
  who: string;
  what: string;
  /** RFC 3339 or empty. */
  from: string;
  to: string;
  limit: number;
  before: string | null;
}
