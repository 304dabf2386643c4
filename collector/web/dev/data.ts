// What the fixture shows.

import type { Agent, Bundle, Device, Severity, TicketPage, TicketState } from '../src/api';

const MINUTE = 60_000;
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();

interface Fault {
  severity: Severity;
  priority: string;
  key: string;
  arguments: Record<string, string>;
  text: string;
  device: string;
  resource: string;
  type: string;
  evidence: string;
}

const FAULTS: Fault[] = [
  {
    severity: 'critical', priority: 'p1', key: 'state.bad',
    arguments: { metric: 'diskStatus', value: 'failed', resource: 'Disk 0_1_4' },
    text: 'diskStatus = failed', device: 'array-1', resource: 'Disk 0_1_4', type: 'disk-failed',
    evidence: '1.3.6.1.4.1.1139.103.0.18.1.2.5 = INTEGER: 5 (failed)',
  },
  {
    severity: 'major', priority: 'p2', key: 'pattern.matched',
    arguments: { resource: 'PSU 2', type: 'psu-failed' },
    text: '%ENVMON-3-PSU: PSU 2 failed, input lost', device: 'sw-core-1', resource: 'PSU 2', type: 'psu-failed',
    evidence: Array.from({ length: 40 }, (_, i) => `Nov 21 23:0${i % 10}:1${i % 10} sw-core-1 %ENVMON-6-POLL: reading ${i} ${i === 33 ? '%ENVMON-3-PSU: PSU 2 failed, input lost' : 'ok'}`).join('\n'),
  },
  {
    severity: 'warning', priority: 'p3', key: 'threshold.above',
    arguments: { metric: 'filesystem.used', value: '91.3', limit: '85', unit: '%', resource: '/var' },
    text: 'filesystem.used = 91.3 %', device: 'host-1', resource: '/var', type: 'filesystem-full',
    evidence: 'filesystem.used{mount="/var"} = 91.3 %',
  },
  {
    severity: 'minor', priority: 'p3', key: 'vendor.special',
    arguments: { code: 'E-4410' },
    text: '阵列控制器 A 报告：电池将于 30 天内到期', device: '存储-二号机房', resource: 'BBU A', type: 'battery-expiring',
    evidence: 'BBU A remaining life: 29 days\u001b[31m RED \u202egnp.exe',
  },
  {
    severity: 'indeterminate', priority: 'p4', key: 'source.silent',
    arguments: { source: 'sw-2-console', after_s: '3600' },
    text: '', device: 'sw-2', resource: '', type: 'source-silent', evidence: '',
  },
];

const ALLOWED: Partial<Record<TicketState, TicketState[]>> = {
  recorded: ['in_diagnosis'], in_diagnosis: ['resolved'], resolved: ['closed', 'in_diagnosis'], closed: ['in_diagnosis'],
};

export function ticketPage(n: number, now = false): TicketPage {
  const f = FAULTS[n % FAULTS.length] as Fault;
  const states: TicketState[] = ['recorded', 'in_diagnosis', 'recorded', 'resolved', 'recorded', 'closed'];
  const state: TicketState = now ? 'recorded' : (states[n % states.length] as TicketState);
  const opened = ago(now ? 0 : (36 - n) ** 2 * 7 * MINUTE + 30_000);
  const number = `T-${String(n).padStart(6, '0')}`;
  const cleared = n % 4 === 1 ? ago(3 * MINUTE) : null;
  const message = { key: f.key, arguments: f.arguments };
  return {
    ticket: {
      number, state, priority: f.priority, severity: f.severity, title: message, text: f.text, agent: 'agent-sh-01',
      device: { id: `SN-${f.device}`, name: f.device }, resource: f.resource, type: f.type, site: 'SH-01',
      customer: n % 2 ? '华东某银行' : 'Example Bank', contract: 'C-2026-0042', assignee: state === 'recorded' ? null : 'admin',
      opened_at: opened, updated_at: opened, condition_cleared_at: cleared, recurrences: n % 7 === 0 ? 3 : 0,
      test: n % 11 === 0, version: 1, class: 'service_request', category: null, level: null, major: false, plan: null,
      covered: null, opened_by: null, merged_into: null, entitlement: null, intake: {}, closing: null, fault_code: f.severity === 'critical' ? 'DISK-FAIL-01' : null,
      proposed_repair: f.severity === 'critical' ? 'Replace disk 0_1_4; the hot spare has taken over.' : null,
      resolved_at: null, closed_at: null,
    },
    allowed: ALLOWED[state] ?? [],
    decisions: [],
    links: [],
    contacts: [],
    comment_required: state === 'in_diagnosis' ? ['resolved'] : [],
    alarms: [
      {
        alarm_id: `a-${n}`, agent: 'agent-sh-01', device_id: `SN-${f.device}`, device_name: f.device, resource: f.resource,
        type: f.type, qualifier: '', severity: f.severity, active: cleared === null, message, text: f.text,
        rule: { pack: 'entity-state', version: '1.2', id: 'oper-failed' }, fault_code: null, proposed_repair: null,
        raised_at: opened, changed_at: opened, cleared_at: cleared, test: false, ticket: number,
      },
    ],
    evidence: f.evidence === '' ? [] : [
      { alarm_id: `a-${n}`, kind: f.key === 'pattern.matched' ? 'console' : 'snmp', origin: '/dev/ttyUSB0', at: opened, text: f.evidence, truncated: n % 3 === 0 },
    ],
    bundles: n % 3 === 0 ? [bundle(number, opened, true), bundle(number, opened, false)] : [],
    timeline: [
      { id: '1', at: opened, who: 'agent:agent-sh-01', what: 'opened', detail: { severity: f.severity } },
      { id: '2', at: opened, who: 'agent:agent-sh-01', what: 'severity', detail: { from: 'minor', to: f.severity } },
      ...(cleared ? [{ id: '3', at: cleared, who: 'agent:agent-sh-01', what: 'cleared', detail: {} }] : []),
    ],
  };
}

/** A bundle that has arrived, or one on its way. */
export function bundle(ticket: string, at: string, arrived: boolean): Bundle {
  return {
    id: arrived ? '0193-1' : '0193-2', agent: 'agent-sh-01', ticket, name: arrived ? '阵列日志-2026.tar.gz' : 'core\u202e.tar.gz',
    size: 52_428_800, sha256: '9f'.repeat(32), state: arrived ? 'complete' : 'open', reason: null,
    received: arrived ? 52_428_800 : 20_971_520, missing: false, collector: 'main',
    note: '控制器 A 重启前后的日志', approved_by: '王工', approved_at: at, approved_how: 'person',
    contents: [
      { name: 'var/log/messages', size: 1_048_576, replaced: 17 },
      { name: 'core.bin', size: 51_380_224, replaced: null },
    ],
    declared_at: at, completed_at: arrived ? at : null, removed_at: null,
  };
}

export function agents(): Agent[] {
  const source = (name: string, kind: string, state: string, detail = '') => ({
    source: name, device: name, kind, state, detail, since: ago(90 * MINUTE), last_reading_at: ago(20_000),
  });
  const base = { site: 'SH-01', customer: '华东某银行', version: '0.1.0', revoked: false };
  return [
    {
      ...base, id: 'agent-sh-01', online: true, last_seen_at: ago(12_000), active_alarms: 4,
      certificate_not_after: ago(-300 * 24 * 60 * MINUTE),
      heartbeat: {
        online: true, at: ago(12_000), version: '0.1.0', uptime_s: 86_500, last_ack_at: ago(14_000),
        lanes: [
          { lane: 'alarm', last_seq: '4712', acked_seq: '4711', depth: 1, oldest_s: 2 },
          { lane: 'bulk', last_seq: '90', acked_seq: '90', depth: 0, oldest_s: 0 },
        ],
        sources: [source('array-1-snmp', 'snmp', 'ok'), source('sw-core-1-console', 'serial', 'failed', '/dev/ttyUSB0: No such device'), source('syslog', 'logfile', 'degraded', 'rotated while reading')],
      },
    },
    { ...base, id: 'agent-sh-02', online: false, last_seen_at: ago(50 * MINUTE), active_alarms: 0, certificate_not_after: ago(-5 * 24 * 60 * MINUTE), heartbeat: { online: true, at: ago(50 * MINUTE), lanes: [{ lane: 'alarm', last_seq: '9', acked_seq: '2', depth: 7, oldest_s: 3000 }], sources: [source('host', 'host', 'ok')] } },
    { ...base, id: 'agent-bj-01', site: null, online: false, last_seen_at: null, version: null, active_alarms: 0, certificate_not_after: null, heartbeat: null },
    { ...base, id: 'agent-old', online: false, last_seen_at: ago(900 * MINUTE), revoked: true, active_alarms: 0, certificate_not_after: ago(100 * MINUTE), heartbeat: null },
  ];
}

export function devices(): Device[] {
  return ['array-1', 'sw-core-1', 'host-1', '存储-二号机房', 'sw-2'].map((name) => ({
    agent: 'agent-sh-01', id: `SN-${name}`, name, serial: `SN-${name}`, vendor: 'EMC', model: 'VNX5300', firmware: '05.32',
    site: 'SH-01', customer: '华东某银行', contract: 'C-2026-0042', parent: null, first_seen_at: ago(9_000 * MINUTE), last_seen_at: ago(2 * MINUTE), active_alarms: 1,
  }));
}
