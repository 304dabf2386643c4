import { describe, expect, test } from 'vitest';
import { catalogue, messageText, render } from '../src/i18n/catalogue';
import { placeholders } from '../src/i18n/format';

const above = {
  key: 'threshold.above',
  arguments: { metric: 'disk.used_percent', value: '91.3', limit: '85', unit: '%', resource: '/var' },
};

describe('messages', () => {
  test('of all keys that agents and the collector use are in both languages', () => {
    const agents = [
      'path.not-proven',
      'pattern.matched',
      'probe.entered',
      'source.silent',
      'state.bad',
      'test.alarm',
      'threshold.above',
      'threshold.below',
      'trap.received',
    ];
    const collector = [
      'agent.silent.lost',
      'agent.silent.quiet',
      'agent.silent.stopped',
      'alertmanager.alert',
      'certificate.ended',
      'certificate.ending',
      'path.missed',
      'ticket.manual',
    ];
    expect(Object.keys(catalogue).sort()).toEqual([...agents, ...collector].sort());
    for (const [key, entry] of Object.entries(catalogue)) {
      expect(placeholders(entry['zh-CN']), key).toEqual(placeholders(entry.en));
    }
  });

  test('are filled', () => {
    expect(messageText(above, '', 'en')).toBe('/var: Disk space used is 91.3 %, above the limit of 85 %');
    expect(messageText(above, '', 'zh-CN')).toBe('/var：磁盘使用率为 91.3 %，高于上限 85 %');
    const state = { key: 'state.bad', arguments: { metric: 'ifOperStatus', value: 'down', resource: 'Gi0/1' } };
    expect(messageText(state, '', 'en')).toBe('Gi0/1: Interface state is "down"');
    expect(messageText(state, '', 'zh-CN')).toBe('Gi0/1：接口状态为“中断”');
    const other = { key: 'state.bad', arguments: { metric: 'diskStatus', value: 'a ~ b', resource: '机房 二' } };
    expect(messageText(other, '', 'zh-CN')).toBe('机房 二：diskStatus 为“a ~ b”');
    expect(messageText({ key: 'test.alarm' }, 'x', 'zh-CN')).toBe('测试报警');
  });

  test('of what the collector finds by itself say what, where and since when', () => {
    const missed = {
      key: 'path.missed',
      arguments: { source: 'tty', interval_s: '60', hop: 'reader', detail: 'port gone' },
    };
    expect(messageText(missed, '', 'en')).toBe(
      'Path of source tty to a ticket not proven for two intervals of 60 s; stuck at the reader by the agent\u2019s word: port gone',
    );
    expect(messageText(missed, '', 'zh-CN')).toBe(
      '数据源 tty 到工单的链路连续两个周期（每 60 秒）未得到验证；代理报告停留在 读取：port gone',
    );
    const ending = {
      key: 'certificate.ending',
      arguments: { certificate: 'server', name: 'CN=cc', collector: 'main', at: '2026-01-31 08:00:00 UTC' },
    };
    expect(messageText(ending, '', 'zh-CN')).toBe(
      '采集中心 main 的服务器证书（CN=cc）将于 2026-01-31 08:00:00 UTC 到期',
    );
  });

  test('of silent agents say since when, how it left, and how the site is', () => {
    const known = { agent: 'a-1', since: '2026-01-31 08:00:00 UTC', interval_s: '30' };
    const lost = { key: 'agent.silent.lost', arguments: { ...known, last_alarms: '3', last_waiting: '0' } };
    expect(messageText(lost, '', 'en')).toBe(
      'Agent a-1 has been silent since 2026-01-31 08:00:00 UTC (five heartbeats of 30 s missed): its connection ' +
        'was lost; last known: 3 active alarms, 0 messages waiting',
    );
    const site = { site: 'SH-01', others: '4' };
    const text = (key: string, more: Record<string, string>) =>
      messageText({ key, arguments: { ...known, ...site, ...more } }, '', 'zh-CN');
    expect(text('agent.silent.stopped', { all_silent: '4' })).toBe(
      '代理 a-1 自 2026-01-31 08:00:00 UTC 起失联（连续五次心跳未到，间隔 30 秒）：代理被正常停止；' +
        '站点 SH-01 的其余 4 个代理也全部失联：可能是站点线路或电源故障',
    );
    expect(text('agent.silent.quiet', { some_silent: '1' })).toContain('站点 SH-01 的其余 4 个代理中有 1 个也失联');
    expect(text('agent.silent.quiet', { all_heard: '4' })).toContain('站点 SH-01 的其余 4 个代理正常');
  });

  test('leave out what is empty, and show what is missing', () => {
    const load = { key: 'threshold.above', arguments: { metric: 'load.per_core', value: '5', limit: '4', unit: '', resource: '' } };
    expect(messageText(load, '', 'en')).toBe('Load per core is 5, above the limit of 4');
    expect(messageText({ key: 'source.silent', arguments: { source: 's' } }, '', 'en')).toBe('Source s has said nothing for ? s');
  });

  test('of unknown keys are the device’s words, else the key with its arguments', () => {
    const unknown = { key: 'vendor.special', arguments: { code: '7' } };
    expect(messageText(unknown, 'Battery low', 'zh-CN')).toBe('Battery low');
    expect(messageText(unknown, ' ', 'en')).toBe('vendor.special code=7');
    expect(messageText({ key: 'toString' }, '', 'en')).toBe('toString');
    expect(messageText({ key: '' }, '', 'en')).toBe('?');
  });

  test('take values as they are', () => {
    expect(render('{value}', { value: '{metric} $1 <b>' }, 'en')).toBe('{metric} $1 <b>');
    expect(render('{constructor}', {}, 'en')).toBe('?');
  });
});
