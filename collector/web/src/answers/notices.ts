// What people are told.

/** An attempt to deliver a notice. */
export interface Attempt {
  number: number;
  at: string;
  ok: boolean;
  result: string;
}

/** Somebody was told something. */
export interface Notice {
  id: string;
  event: string;
  ticket: string;
  lane: string;
  recipient: string;
  state: string;
  created_at: string;
  next_at: string | null;
  done_at: string | null;
  result: string;
  attempts: Attempt[];
}

export interface NoticeCount {
  state: string;
  count: number;
}

export interface NoticeList {
  items: Notice[];
  counts: NoticeCount[];
}

/** Hours of every day in which what is not urgent waits. */
export interface Quiet {
  hours: string;
  time_zone: string;
}

/** What one wants to be told. */
export interface Choices {
  mail: boolean;
  without?: string[];
  quiet?: Quiet;
}

export interface MyNotices {
  mail: string;
  choices: Choices;
}
