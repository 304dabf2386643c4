import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Agent, TicketSummary, View } from '../src/api';
import { translator } from '../src/i18n';
import { named } from '../src/i18n/named';
import { DEEDS, fromField, isAuditFiltered, readable, readAudit, toField, writeAudit } from '../src/model/audit';
import { percent, replaced, size, state } from '../src/model/bundle';
import { excerpt, visible } from '../src/model/evidence';
import { agentState, certificateState, matches, outbox, sourcesOk } from '../src/model/fleet';
import { passwordFault } from '../src/model/password';
import { fromView, isFiltered, news, NOTHING_SEEN, readFilter, viewOf, viewQuery, writeFilter } from '../src/model/queue';
import { line } from '../src/model/timeline';
import { counts, running, silent } from '../src/model/wall';
import { agents, bundle, ticketPage } from '../dev/data';

describe('queue', () => {
  test('a filter reads back from its address; nonsense is the default', () => {
    const filter = {
      ...{ state: 'resolved', severity: 'major', priority: 'p1', assignee: '李', q: '电源 x&y', test: true },
      ...{ sort: 'left', limit: 100, before: 'due.1.2', columns: ['left', 'what'] },
    };
    expect(readFilter(new URLSearchParams(writeFilter(filter).toString()))).toEqual(filter);
    const plain = readFilter(new URLSearchParams('state=x&severity=bad&limit=7&sort=x&priority=p9&columns=x'));
    const none = { severity: '', priority: '', assignee: '', q: '', test: false, before: null };
    expect(plain).toEqual({ state: 'open', ...none, sort: 'number', limit: 50, columns: [] });
    expect([isFiltered(plain), isFiltered({ ...plain, sort: 'left', limit: 25 }), isFiltered(filter)]).toEqual([false, false, true]);
    expect(writeFilter(plain).toString()).toBe('');
  });

  test('a view keeps what is asked for and shown, and is known again', () => {
    const filter = readFilter(new URLSearchParams('priority=p1&q=电源&sort=left&columns=left,what,left,x'));
    expect(filter.columns).toEqual(['left', 'what']);
    const view = { id: 'v', query: viewQuery(filter), columns: filter.columns } as View;
    expect(view.query).toBe(`priority=p1&q=${encodeURIComponent('电源')}&sort=left&state=open&test=0`);
    expect(fromView(view)).toEqual(filter);
    const tests = { ...filter, test: true };
    expect(fromView({ ...view, query: viewQuery(tests) })).toEqual(tests);
    expect(viewOf({ ...filter, before: 'due.1.2' }, [view])).toBe(view);
    expect(viewOf(tests, [view])).toBe(null);
  });

  const at = (number: string, opened_at: string) => ({ number, opened_at }) as TicketSummary;

  test('news are those opened after all that was seen', () => {
    const [none, first] = news(NOTHING_SEEN, [at('T-2', '2026-01-02'), at('T-1', '2026-01-01')], true);
    expect(none).toEqual([]);
    const [fresh, second] = news(first, [at('T-3', '2026-01-03'), at('T-2', '2026-01-02')], false);
    expect(fresh).toEqual(['T-3']);
    // A reopened old one is no news, nor one that stays.
    expect(news(second, [at('T-3', '2026-01-03'), at('T-0', '2025-12-31')], false)[0]).toEqual([]);
    // The first ticket of an empty queue is.
    expect(news(NOTHING_SEEN, [at('T-9', '2026-02-01')], false)[0]).toEqual(['T-9']);
  });
});

describe('wall', () => {
  const one = (number: string, priority: string, assignee: string | null) => ({ number, priority, assignee }) as TicketSummary;
  const items = [one('T-1', 'p1', null), one('T-2', 'p1', 'li'), one('T-3', 'p3', null)];

  test('counts what is open by priority, and what is nobody’s', () => {
    expect(counts(items).map((c) => [c.priority, c.all, c.nobody])).toEqual([['p1', 2, 1], ['p2', 0, 0], ['p3', 1, 1], ['p4', 0, 0]]);
  });

  test('shows those first whose time runs out first, and no others', () => {
    const at = (number: string, due_at: string) => ({ number, clock: 'respond', due_at });
    const due = [at('T-3', '2026-01-01T08:00:00.000Z'), at('T-1', '2026-01-01T07:00:00.000Z')];
    expect(running({ items, due, next: null }, 9).map((r) => r.ticket.number)).toEqual(['T-1', 'T-3']);
    expect(running({ items, due, next: null }, 1)).toHaveLength(1);
  });

  test('lists agents that are not heard, the longest silence first', () => {
    const agent = (id: string, online: boolean, last_seen_at: string | null, revoked = false) => ({ id, online, last_seen_at, revoked }) as Agent;
    const all = [agent('a', false, '2026-01-02'), agent('b', false, '2026-01-01'), agent('c', true, '2026-01-01'), agent('d', false, null), agent('e', false, '2026-01-01', true)];
    expect(silent(all).map((a) => a.id)).toEqual(['b', 'a']);
  });
});

describe('record', () => {
  test('a filter reads back from its address; nonsense is left out', () => {
    const filter = {
      agent: 'a-1',
      who: 'user:李',
      what: 'token-made',
      from: '2026-01-31T08:00:00.000Z',
      to: '2026-02-01T08:00:00.000Z',
      limit: 50,
      before: '117',
    };
    expect(readAudit(new URLSearchParams(writeAudit(filter).toString()))).toEqual(filter);
    const plain = readAudit(new URLSearchParams('what=x&from=today&to=2026-99-01T08:00:00Z&before=-1'));
    expect(plain).toEqual({ agent: '', who: '', what: '', from: '', to: '', limit: 50, before: null });
    expect(writeAudit(plain).toString()).toBe('');
    expect([isAuditFiltered(plain), isAuditFiltered(filter)]).toEqual([false, true]);
  });

  test('every hint of an agent has its words', () => {
    const source = readFileSync(join(import.meta.dirname, '../../../shared/src/readout.rs'), 'utf8');
    const body = /pub enum Hint \{([^}]*)\}/.exec(source)?.[1] ?? '';
    const names = [...body.matchAll(/^    (\w+),$/gm)].map((m) => m[1] ?? '').filter((n) => n !== 'Other');
    expect(names).toHaveLength(12);
    for (const name of names) {
      const word = name.replace(/(?!^)[A-Z]/g, (c) => `-${c}`).toLowerCase();
      expect(named('hint', word, translator('zh-CN')), word).not.toBe(word);
    }
  });

  test('moments go into the browser’s own field and back', () => {
    const minute = '2026-01-31T08:07:00.000Z';
    expect(fromField(toField(minute))).toBe(minute);
    expect([toField(''), toField('x'), fromField(''), fromField('2026-13')]).toEqual(['', '', '', '']);
  });

  test('every deed of the collector can be asked for and has its words', () => {
    const source = readFileSync(join(import.meta.dirname, '../../src/audit/mod.rs'), 'utf8');
    const words = [...source.matchAll(/Deed::\w+ => "([a-z-]+)"/g)].map((m) => m[1] ?? '');
    expect([...DEEDS].sort()).toEqual(words.sort());
    const t = translator('zh-CN');
    for (const deed of DEEDS) expect(named('deed', deed, t), deed).not.toBe(deed);
    expect(named('deed', 'newer-than-this', t)).toBe('newer-than-this');
  });

  test('a detail is shown line by line, what is none as it is', () => {
    expect(readable('{"a":[1]}')).toBe('{\n  "a": [\n    1\n  ]\n}');
    expect(readable('not {')).toBe('not {');
  });
});

describe('evidence', () => {
  test('cannot hide or reorder anything', () => {
    expect(visible('a\u001b[31mb\u0000')).toBe('a␛[31mb␀');
    expect(visible('x\u202egnp.exe\ufeff')).toBe('x<U+202E>gnp.exe<U+FEFF>');
    expect(visible('one\r\ntwo\rthree\tx 风扇')).toBe('one\ntwo\nthree\tx 风扇');
  });

  test('is cut only where it saves something', () => {
    const lines = (n: number) => Array.from({ length: n }, (_, i) => `${i}`).join('\n');
    expect(excerpt(lines(20))).toEqual({ lines: 20, shown: lines(20), cut: false });
    expect(excerpt(lines(21))).toEqual({ lines: 21, shown: lines(18), cut: true });
  });
});

describe('bundles', () => {
  const one = bundle('T-000001', '2026-01-01T00:00:00Z', true);

  test('sizes in both languages', () => {
    expect([0, 1023, 1024, 1_572_864, 268_435_456].map((n) => size(n, 'en'))).toEqual([
      '0 bytes', '1,023 bytes', '1 kB', '1.5 MB', '256 MB',
    ]);
    expect(size(1_572_864, 'zh-CN')).toBe('1.5 MB');
  });

  test('100 per cent is all of it', () => {
    expect(percent({ received: 0, size: 10 })).toBe(0);
    expect(percent({ received: 9_999_999, size: 10_000_000 })).toBe(99);
    expect(percent({ received: 10, size: 10 })).toBe(100);
    expect(percent({ received: 1, size: 0 })).toBe(0);
  });

  test('one without its file is not complete', () => {
    expect(state(one)).toBe('complete');
    expect(state({ ...one, missing: true })).toBe('missing');
    expect(['open', 'refused', 'removed', 'later'].map((word) => state({ state: word, missing: false }))).toEqual([
      'open', 'refused', 'removed', 'open',
    ]);
  });

  test('what redaction did is summed up', () => {
    expect(replaced(one)).toEqual({ places: 17, binary: 1 });
    expect(replaced({ contents: [] })).toEqual({ places: 0, binary: 0 });
  });
});

describe('timeline', () => {
  const en = translator('en');
  const zh = translator('zh-CN');
  const entry = (what: string, detail: unknown, who = 'collector') => ({ id: '1', at: '', who, what, detail });

  test('every kind of entry has its words in both languages', () => {
    const kinds: [string, unknown, string, string][] = [
      ['opened', { severity: 'major' }, 'Ticket opened by itself from an alarm: Major', '根据报警自动建单：重要'],
      ['recurred', { recurrences: 2 }, 'The fault came back (recurrence 2)', '故障再次出现（第 2 次复发）'],
      ['severity', { from: 'minor', to: 'critical' }, 'Severity changed from Minor to Critical', '级别由次要变为紧急'],
      ['priority', { from: 'p3', to: 'p1' }, 'Priority changed from P3 to P1', '优先级由 P3 变为 P1'],
      ['bundle', { name: 'a.tar.gz', size: 5 }, 'Evidence bundle arrived: a.tar.gz', '证据包已到达：a.tar.gz'],
      ['cleared', {}, 'The device reports the fault as gone', '设备报告故障已消除'],
      ['raised-again', {}, 'The condition is back: the fault is present again', '异常重新出现，故障仍然存在'],
      ['state', { from: 'recorded', to: 'in_diagnosis' }, 'State changed from Recorded to In diagnosis', '状态由已登记变为诊断中'],
      ['entitlement', { verdict: 'not-covered', why: 'expired', contract: 'K-1', day: '2025-12-31' }, 'Not covered: contract K-1 ended 2025-12-31', '不在保：合同 K-1 已于 2025-12-31 到期'],
      ['comment', { text: 'x' }, 'Comment', '备注'],
      ['assigned', { to: 'li' }, 'Taken over by li', '由 li 接手'],
      ['evidence', {}, 'More evidence arrived', '收到更多证据'],
      ['merged', { from: 'T-000002' }, 'Took over the alarms of T-000002', '接管了 T-000002 的报警'],
      ['weighed', {}, 'Entry of kind "weighed"', '“weighed”类记录'],
    ];
    for (const [what, detail, english, chinese] of kinds) {
      expect(line(entry(what, detail), en, 'en').head).toBe(english);
      expect(line(entry(what, detail), zh, 'zh-CN').head).toBe(chinese);
    }
  });

  test('shows what was written, and who did it', () => {
    expect(line(entry('state', { from: 'recorded', to: 'resolved', comment: 'done' }, 'user:li'), en, 'en')).toEqual({
      head: 'State changed from Recorded to Resolved', body: 'done', who: 'li', by: 'user',
    });
    expect(line(entry('comment', { text: 'a\nb' }, 'user:li'), en, 'en').body).toBe('a\nb');
    expect(line(entry('opened', {}, 'agent:a-1'), en, 'en').who).toBe('Agent a-1');
    expect(line(entry('state', { from: 'resolved', to: 'in_diagnosis', reason: 'recurred' }), zh, 'zh-CN').body).toBe('自动重新打开：故障再次出现');
    expect(line(entry('weighed', { y: 'T-2', x: {} }), en, 'en').body).toBe('y: T-2');
    expect(line(entry('state', { from: 'recorded', to: 'merged', into: 'T-2' }), en, 'en').body).toBe('Duplicate of: T-2');
    expect(line(entry('state', { from: 'confirmed', to: 'closed', cause: 'worn', fix: 'new disk', category: 'a' }), en, 'en').body).toBe('Cause: worn\nWhat was done: new disk');
  });

  test('survives any detail', () => {
    for (const detail of [null, 'text', 7, [], { from: {}, to: null }, { message: { key: 7 } }]) {
      for (const what of ['opened', 'severity', 'state', 'comment', 'assigned', 'x']) {
        expect(line(entry(what, detail, ''), en, 'en').head).not.toBe('');
      }
    }
  });
});

describe('fleet', () => {
  test('the four states of an agent', () => {
    expect(agents().map(agentState)).toEqual(['online', 'silent', 'never', 'revoked']);
  });

  test('outbox, sources, certificate', () => {
    const [first, second, never] = agents() as [Agent, Agent, Agent];
    expect(outbox(first.heartbeat)).toEqual({ depth: 1, oldestS: 2 });
    expect(outbox(second.heartbeat)).toEqual({ depth: 7, oldestS: 3000 });
    expect(outbox(never.heartbeat)).toBeNull();
    expect(sourcesOk(first.heartbeat?.sources ?? [])).toEqual({ ok: 1, all: 3, worst: 'failed' });
    const now = Date.parse('2026-06-01T00:00:00Z');
    const in_days = (days: number) => new Date(now + days * 86_400_000).toISOString();
    expect([31, 29, 6, -1].map((d) => certificateState(in_days(d), now))).toEqual(['fine', 'soon', 'urgent', 'expired']);
    expect(certificateState(null, now)).toBeNull();
  });

  test('search finds all words, in any order and case', () => {
    expect(matches('bank SH', ['SH-01', 'Example Bank'])).toBe(true);
    expect(matches('bank zebra', ['SH-01', 'Example Bank', null])).toBe(false);
    expect(matches('', [])).toBe(true);
  });
});

test('new passwords', () => {
  expect(passwordFault('', 'long enough 1', 'long enough 1')).toBe('old-missing');
  expect(passwordFault('x', 'short', 'short')).toBe('too-short');
  expect(passwordFault('long enough 1', 'long enough 1', 'long enough 1')).toBe('same');
  expect(passwordFault('x', 'long enough 1', 'long enough 2')).toBe('differ');
  expect(passwordFault('x', '密码密码密码密码密码', '密码密码密码密码密码')).toBeNull();
});

test('the fixture makes tickets', () => {
  expect(ticketPage(3).ticket.number).toBe('T-000003');
});
