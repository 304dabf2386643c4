// What the collector's API answers and takes: the documents' shapes. Times are RFC 3339 texts in UTC.

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

export interface User {
  name: string;
  display_name: string;
  role: string;
  language: Language;
  must_change_password: boolean;
}

export interface Me {
  user: User;
  csrf: string;
}

export interface Message {
  key: string;
  arguments?: Record<string, string>;
}

export interface TicketSummary {
  number: string;
  state: TicketState;
  priority: string;
  severity: Severity;
  title: Message;
  text: string;
  agent: string;
  device: { id: string; name: string };
  resource: string;
  type: string;
  site: string | null;
  customer: string | null;
  contract: string | null;
  assignee: string | null;
  opened_at: string;
  updated_at: string;
  condition_cleared_at: string | null;
  recurrences: number;
  test: boolean;
  class: string;
  category: string | null;
  level: string | null;
  major: boolean;
  plan: string | null;
  covered: boolean | null;
  opened_by: string | null;
  merged_into: string | null;
  version: number;
}

/** What was known of a ticket's cover at its opening. */
export interface Entitlement {
  /** `covered` or `not-covered`. */
  verdict: string;
  why: string | null;
  contract: string | null;
  plan: string | null;
  until: string | null;
  day: string | null;
}

export interface ClosingReport {
  cause: string;
  fix: string;
  category: string;
}

export interface Ticket extends TicketSummary {
  proposed_repair: string | null;
  fault_code: string | null;
  resolved_at: string | null;
  closed_at: string | null;
  entitlement: Entitlement | null;
  intake: Record<string, string>;
  closing: ClosingReport | null;
}

/** A customer, site, contact, contract or device; its texts by field. */
export interface Master {
  id: string;
  values: Record<string, string>;
  to_complete: boolean;
  version: number;
  updated_at: string;
  updated_by: string;
}

export interface MasterList {
  items: Master[];
  next: string | null;
}

export interface ImportDone {
  new: number;
  changed: number;
  unchanged: number;
}

/** Somebody who may be given a ticket. */
export interface Colleague {
  name: string;
  display_name: string;
  role: string;
}

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

export interface TimelineEntry {
  id: string;
  at: string;
  who: string;
  what: string;
  detail: unknown;
}

export interface TicketPage {
  ticket: Ticket;
  allowed: TicketState[];
  /** Those of `allowed` that need a comment. */
  comment_required: TicketState[];
  /** Those that a manager may decide on; all need a reason. */
  decisions: TicketState[];
  links: string[];
  contacts: Master[];
  alarms: Alarm[];
  evidence: Evidence[];
  bundles: Bundle[];
  timeline: TimelineEntry[];
}

export interface TicketList {
  items: TicketSummary[];
  next: string | null;
}

export interface AlarmList {
  items: Alarm[];
  next: string | null;
}

export interface SourceHealth {
  source: string;
  device: string;
  kind: string;
  state: string;
  detail?: string;
  since: string;
  last_reading_at?: string | null;
  readout?: Readout;
}

/** What the last reading of a device was like. */
export interface Readout {
  at: string;
  took_ms: number;
  values: number;
  faults: number;
  slowest?: { oid: string; ms: number };
  profiles?: string[];
  /** `configured`, `device`, `generic`. */
  chosen?: string;
  sysobjectid?: string;
  /** What to check; see `hint.` in the texts. */
  hint?: string;
}

export interface LaneState {
  lane: string;
  last_seq: string;
  acked_seq: string;
  depth: number;
  oldest_s: number;
}

/** Alarms that the agent holds back, and why. */
export interface Held {
  maintenance: number;
  parent: number;
  windows: HeldWindow[];
}

export interface HeldWindow {
  id: string;
  devices: string[];
  sites: string[];
  until: string;
  reason: string;
  by: string;
}

export interface Heartbeat {
  online: boolean;
  at: string;
  version?: string;
  uptime_s?: number;
  lanes?: LaneState[];
  last_ack_at?: string | null;
  sources?: SourceHealth[];
  /** Sources that found no place in the heartbeat. */
  sources_left_out?: number;
  certificate_expires_at?: string | null;
  active_alarms?: number;
  held?: Held;
  road?: string;
}

export interface Agent {
  id: string;
  site: string | null;
  customer: string | null;
  online: boolean;
  last_seen_at: string | null;
  version: string | null;
  revoked: boolean;
  active_alarms: number;
  certificate_not_after: string | null;
  heartbeat: Heartbeat | null;
}

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

export interface Loss {
  source: string;
  from_at: string;
  to_at: string;
  reason: string;
  count: number | null;
  received_at: string;
}

export interface Reject {
  seq: string | null;
  envelope_id: string | null;
  reason: string;
  text: string;
  received_at: string;
}

export interface Stream {
  epoch: string;
  lane: string;
  acked_seq: string;
  updated_at: string;
}

export interface AgentAccount {
  made: number;
  acked: number;
  folded: number;
  evicted: number;
  depth: number;
}

export interface LaneBalance {
  lane: string;
  made: number;
  committed: number;
  rejected: number;
  passed: number;
  missing: number;
  on_the_way: number;
  verdict: 'closes' | 'unknown' | 'agent_differs' | 'missing';
  agent: AgentAccount | null;
}

export interface ProvenPath {
  source: string;
  kind: string;
  interval_s: number;
  proven: boolean;
  proven_at: string | null;
  ticket: string | null;
  p50_ms: number | null;
  p99_ms: number | null;
  samples: number;
  hop: string | null;
  detail: string | null;
}

export interface ShadowTicket {
  number: string;
  source: string;
  started_at: string;
  proven_at: string;
}

export interface PathPage {
  paths: ProvenPath[];
  /** Paths that found no place in the heartbeat. */
  left_out: number;
  shadow_tickets: ShadowTicket[];
}

export interface Resync {
  id: string;
  /** `digest-differs`, `store-changed`, or another word of the agent's. */
  reason: string;
  /** Null: the agent told it by itself. */
  asked_at: string | null;
  asked: number;
  answered_at: string | null;
  /** The sets were equal again without it. */
  ended_at: string | null;
  alarms: number;
  raised: number;
  changed: number;
  cleared: number;
  unchanged: number;
  refused: number;
}

export interface AgentPage {
  agent: Agent;
  losses: Loss[];
  rejects: Reject[];
  streams: Stream[];
  balance: LaneBalance[];
  bundles: Bundle[];
}

export interface Device {
  agent: string;
  id: string;
  name: string;
  serial: string | null;
  vendor: string | null;
  model: string | null;
  firmware: string | null;
  site: string | null;
  customer: string | null;
  contract: string | null;
  parent: string | null;
  first_seen_at: string;
  last_seen_at: string;
  active_alarms: number;
}

export type Title = Readonly<Record<Language, string>>;

/** Why a stretch of a clock's life counted or not. */
export interface ClockLine {
  from: string;
  to: string;
  counted_ms: number;
  elapsed_ms: number;
  /** `inside`, `outside`, `working_day`, `holiday`, `paused`, `done`. */
  because: string;
  note: string;
  priority: string;
}

export interface Clock {
  name: string;
  title: Title | null;
  /** `running`, `paused`, `stopped`, `dropped`. */
  state: string;
  within: string;
  hours: string;
  started_at: string;
  due_at: string | null;
  stopped_at: string | null;
  budget_ms: number | null;
  elapsed_ms: number;
  left_ms: number | null;
  kept: boolean | null;
  warn_at: number;
  explain: ClockLine[];
  explain_left_out: number;
}

export interface TicketClocks {
  plan: string | null;
  plan_version: number | null;
  title: Title | null;
  time_zone: string | null;
  calendar: string | null;
  clocks: Clock[];
  startable: string[];
}

export interface PlanLimit {
  within: string;
  hours?: string;
}

export interface PlanBody {
  title: Title;
  note?: Title;
  base?: string;
  default_hours?: string;
  names?: Record<string, Title>;
  priorities: Record<string, Record<string, PlanLimit>>;
}

export interface PlanView {
  name: string;
  version: number;
  preset: boolean;
  changed_at: string;
  changed_by: string;
  plan: PlanBody;
}

export interface CalendarDay {
  from: string;
  to?: string;
  kind: string;
  note?: string;
}

export interface CalendarBody {
  title?: string;
  time_zone?: string;
  days?: CalendarDay[];
}

export interface CalendarView {
  name: string;
  version: number;
  changed_at: string;
  changed_by: string;
  calendar: CalendarBody;
}

export interface PlanList {
  items: PlanView[];
}

export interface CalendarList {
  items: CalendarView[];
}

export interface Written {
  version: number;
}

/** What solved faults of one code taught. */
export interface Article {
  id: string;
  code: string;
  title: string;
  symptom: string;
  cause: string;
  fix: string;
  ticket: string | null;
  version: number;
  updated_at: string;
  updated_by: string;
}

export interface ArticleList {
  items: Article[];
  next: string | null;
}

export interface OfferedArticles {
  code: string | null;
  own: Article | null;
  similar: Article[];
}

export interface ArticleWish {
  version: number;
  code: string;
  title: string;
  symptom: string;
  cause: string;
  fix: string;
}

export interface Consequence {
  alarm_id: string;
  device: string;
  resource: string;
  type: string;
  severity: Severity;
  active: boolean;
  raised_at: string;
  cause_type: string | null;
  /** `parent`, `hangs-on`, `powered-by`. */
  relation: string | null;
  path: string[];
  after_ms: number | null;
}

/** The same fault on many sites in a short time. */
export interface FleetProblem {
  type: string;
  rule: string;
  model: string;
  sites: number;
  others: string[];
}

/** Why there is a ticket, and what was suppressed by it. */
export interface Explanation {
  number: string;
  reason: string;
  alarm_id: string | null;
  rule: string | null;
  waited_ms: number | null;
  /** `hold-down`, `cause`. */
  waited_for: string | null;
  flapping: boolean;
  lives: number;
  transients: number;
  consequence_count: number;
  consequences_active: number;
  consequences: Consequence[];
  fleet: FleetProblem | null;
  merged_into: string | null;
}

export interface DueTicket {
  ticket: TicketSummary;
  clock: string;
  due_at: string;
}

export interface DueList {
  items: DueTicket[];
  next: string | null;
}

export interface TicketFilter {
  state: string;
  severity: string;
  q: string;
  test: boolean;
  limit: number;
  before: string | null;
}

/** A step of a ticket, with what goes with it. */
export interface Step {
  to: TicketState;
  version: number;
  comment?: string;
  level?: string;
  closing?: ClosingReport;
}

/** What is to be different. */
export interface TicketChange {
  assignee?: string;
  priority?: string;
  class?: string;
  category?: string;
  major?: boolean;
}

/** A ticket as a person records it. */
export interface NewTicket {
  text: string;
  priority: string;
  class: string;
  category?: string;
  site: string;
  serial: string;
  contract: string;
  error_code: string;
  assignee?: string;
  contact: string;
  reach: string;
  access: string;
  model: string;
  os: string;
  wished: string;
}

/** A device of a window of maintenance. */
export interface MaintenanceDevice {
  agent: string;
  id: string;
  name: string;
  site: string | null;
  active_alarms: number;
}

/** A window of maintenance. */
export interface Maintenance {
  id: string;
  state: 'planned' | 'now' | 'over';
  agent: string | null;
  site: string | null;
  devices: MaintenanceDevice[];
  from: string;
  until: string;
  reason: string;
  by: string;
  at: string;
  ended_by: string | null;
  ended_at: string | null;
}

/** What an agent knows of its windows. */
export interface AgentKnows {
  agent: string;
  knows: 'all' | 'not_yet' | 'cannot';
}

export interface MaintenanceList {
  items: Maintenance[];
  agents: AgentKnows[];
}

export interface MaintenancePreview {
  devices: MaintenanceDevice[];
  active_alarms: number;
  agents: AgentKnows[];
}

/** A window that is wanted: of an agent, of a site, or of devices. */
export interface MaintenanceWish {
  agent?: string;
  site?: string;
  devices?: { agent: string; id: string }[];
  from?: string;
  until: string;
  reason: string;
}

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
