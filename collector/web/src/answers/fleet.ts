// Agents, what they say of themselves, devices.

import type { Bundle } from './alarms';

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

/** What its agent said last of a device. */
export interface DeviceInventory {
  /** `snmp`, or `configuration`. */
  read_by: string;
  sysobjectid: string | null;
  profiles: string[];
  read_at: string;
  told_at: string;
  changed_at: string;
  /** Modules that found no place in the list. */
  left_out: number;
}

/** A part of a device. */
export interface DeviceModule {
  index: number;
  inside: number | null;
  /** `chassis`, `module`, `power-supply`, `fan`, … */
  class: string;
  name: string;
  description: string | null;
  model: string | null;
  serial: string | null;
  hardware: string | null;
  firmware: string | null;
  software: string | null;
  since: string;
}

/** Something that changed of what a device is made of. */
export interface ModuleChange {
  id: string;
  at: string;
  /** `appeared`, `vanished`, `serial`, `moved`, `model`, `hardware`, `firmware`, `software`. */
  what: string;
  class: string;
  name: string;
  was: string | null;
  now: string | null;
}

export interface DevicePage {
  device: Device;
  inventory: DeviceInventory | null;
  /** Null: it tells none. */
  modules: DeviceModule[] | null;
  changes: ModuleChange[];
  sources: SourceHealth[];
  sources_left_out: number;
}
