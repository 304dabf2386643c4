// Reports: how the service did over a time.

/** Durations; percentiles by nearest rank. */
export interface Spread {
  count: number;
  p50_ms: number | null;
  p90_ms: number | null;
}

export interface LimitKept {
  limit: string;
  decided: number;
  kept: number;
}

export interface ReportGroup {
  key: string;
  tickets: number;
  automatic: number;
  recurred: number;
  limits: LimitKept[];
  respond: Spread;
  restore: Spread;
}

export interface ReportSide {
  tickets: number;
  to_ticket: Spread;
  to_engineer: Spread;
}

export interface ReportFault {
  code: string;
  automatic: ReportSide;
  by_hand: ReportSide;
}

export interface Report {
  from: string;
  to: string;
  by: string;
  whole: boolean;
  all: ReportGroup;
  groups: ReportGroup[];
  groups_left_out: number;
  both: ReportFault;
  faults: ReportFault[];
  faults_left_out: number;
}

/** What is asked of a report. */
export interface ReportAsked {
  from: string;
  to: string;
  by: string;
  time_zone: string;
  customer: string;
  site: string;
  plan: string;
}
