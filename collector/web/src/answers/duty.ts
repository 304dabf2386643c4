// Rosters, absence, calls.

/** Somebody on duty. */
export interface OnDuty {
  level: string;
  person: string;
  display_name: string;
  phone: string;
  roster: string;
  pattern: string;
  from: string;
  until: string;
  absent: boolean;
}

/** An open ticket whose engineer is absent. */
export interface Orphan {
  number: string;
  device: string;
  assignee: string;
  priority: string;
}

/** Until when a roster is published. */
export interface Published {
  roster: string;
  until: string;
}

/** Who is on duty. */
export interface DutyNow {
  at: string;
  items: OnDuty[];
  nobody: string[];
  orphans: Orphan[];
  published: Published[];
}

export interface ShiftView {
  id: string | null;
  roster: string;
  pattern: string;
  level: string;
  from: string;
  until: string;
  person: string;
  planned: string;
}

/** Somebody is not there. */
export interface Absence {
  id: string;
  person: string;
  from: string;
  until: string;
  reason: string;
  by: string;
}

/** A shift went to somebody else. */
export interface Swap {
  shift: string;
  from: string;
  to: string;
  reason: string;
  at: string;
  by: string;
}

/** The board of some days. */
export interface DutyBoard {
  from: string;
  until: string;
  shifts: ShiftView[];
  absences: Absence[];
  swaps: Swap[];
}

/** An absence that is to be known; of oneself without a person. */
export interface AbsenceWish {
  person?: string;
  until: string;
  reason: string;
}

/** Somebody was called for a ticket. */
export interface Call {
  id: string;
  step: string;
  round: number;
  level: string;
  person: string;
  called_at: string;
  expires_at: string;
  ended_at: string | null;
  ended: string | null;
  ended_by: string | null;
}

export interface CallList {
  items: Call[];
}
