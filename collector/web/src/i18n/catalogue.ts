// The message catalogue: what an agent's message keys say in each language.
//
// {name} is an argument of the message. [[…]] is left out when an argument inside it is empty.
// ~ is a space unless a Chinese character stands before it.
// A key that is not here shows the device's own words.

import type { Language, Message } from '../api';
import { word } from './words';

type Entry = Readonly<Record<Language, string>>;

export const catalogue: Readonly<Record<string, Entry>> = {
  'threshold.above': {
    en: '[[{resource}: ]]{metric} is {value}[[ {unit}]], above the limit of {limit}[[ {unit}]]',
    'zh-CN': '[[{resource}：]]{metric}~为 {value}[[ {unit}]]，高于上限 {limit}[[ {unit}]]',
  },
  'threshold.below': {
    en: '[[{resource}: ]]{metric} is {value}[[ {unit}]], below the limit of {limit}[[ {unit}]]',
    'zh-CN': '[[{resource}：]]{metric}~为 {value}[[ {unit}]]，低于下限 {limit}[[ {unit}]]',
  },
  'state.bad': {
    en: '[[{resource}: ]]{metric} is "{value}"',
    'zh-CN': '[[{resource}：]]{metric}~为“{value}”',
  },
  'pattern.matched': { en: '[[{resource}: ]]{type}', 'zh-CN': '[[{resource}：]]{type}' },
  'alertmanager.alert': { en: '[[{resource}: ]]{type}', 'zh-CN': '[[{resource}：]]{type}' },
  'trap.received': {
    en: '[[{resource}: ]]{type}[[ (trap {trap})]]',
    'zh-CN': '[[{resource}：]]{type}[[（Trap {trap}）]]',
  },
  'source.silent': {
    en: 'Source {source} has said nothing for {after_s} s',
    'zh-CN': '数据源 {source} 已 {after_s} 秒没有任何输出',
  },
  'agent.silent.lost': {
    en:
      'Agent {agent} has been silent since {since} (five heartbeats of {interval_s} s missed): its connection was lost' +
      '[[; last known: {last_alarms} active alarms, {last_waiting} messages waiting]]' +
      '[[; all {all_silent} other agents of site {site} are silent too: likely the site\u2019s line or power]][[; {some_silent} of {others} other agents of site {site} are silent too]][[; the other {all_heard} agents of site {site} are heard]]',
    'zh-CN':
      '代理 {agent} 自 {since} 起失联（连续五次心跳未到，间隔 {interval_s} 秒）：连接中断' +
      '[[；最后已知状态：{last_alarms} 个活动报警，{last_waiting} 条消息待发]]' +
      '[[；站点 {site} 的其余 {all_silent} 个代理也全部失联：可能是站点线路或电源故障]][[；站点 {site} 的其余 {others} 个代理中有 {some_silent} 个也失联]][[；站点 {site} 的其余 {all_heard} 个代理正常]]',
  },
  'agent.silent.stopped': {
    en:
      'Agent {agent} has been silent since {since} (five heartbeats of {interval_s} s missed): it was stopped on purpose' +
      '[[; last known: {last_alarms} active alarms, {last_waiting} messages waiting]]' +
      '[[; all {all_silent} other agents of site {site} are silent too: likely the site\u2019s line or power]][[; {some_silent} of {others} other agents of site {site} are silent too]][[; the other {all_heard} agents of site {site} are heard]]',
    'zh-CN':
      '代理 {agent} 自 {since} 起失联（连续五次心跳未到，间隔 {interval_s} 秒）：代理被正常停止' +
      '[[；最后已知状态：{last_alarms} 个活动报警，{last_waiting} 条消息待发]]' +
      '[[；站点 {site} 的其余 {all_silent} 个代理也全部失联：可能是站点线路或电源故障]][[；站点 {site} 的其余 {others} 个代理中有 {some_silent} 个也失联]][[；站点 {site} 的其余 {all_heard} 个代理正常]]',
  },
  'agent.silent.quiet': {
    en:
      'Agent {agent} has been silent since {since} (five heartbeats of {interval_s} s missed): it went without a word' +
      '[[; last known: {last_alarms} active alarms, {last_waiting} messages waiting]]' +
      '[[; all {all_silent} other agents of site {site} are silent too: likely the site\u2019s line or power]][[; {some_silent} of {others} other agents of site {site} are silent too]][[; the other {all_heard} agents of site {site} are heard]]',
    'zh-CN':
      '代理 {agent} 自 {since} 起失联（连续五次心跳未到，间隔 {interval_s} 秒）：无任何告别消息' +
      '[[；最后已知状态：{last_alarms} 个活动报警，{last_waiting} 条消息待发]]' +
      '[[；站点 {site} 的其余 {all_silent} 个代理也全部失联：可能是站点线路或电源故障]][[；站点 {site} 的其余 {others} 个代理中有 {some_silent} 个也失联]][[；站点 {site} 的其余 {all_heard} 个代理正常]]',
  },
  'path.not-proven': {
    en: 'Path of source {source} to a ticket not proven[[, stuck at {hop}]][[: {detail}]]',
    'zh-CN': '数据源 {source} 到工单的链路未得到验证[[，停留在 {hop}]][[：{detail}]]',
  },
  'path.missed': {
    en:
      'Path of source {source} to a ticket not proven for two intervals of {interval_s} s' +
      '[[; last proof {last}]][[; stuck at {hop} by the agent\u2019s word]][[: {detail}]]',
    'zh-CN':
      '数据源 {source} 到工单的链路连续两个周期（每 {interval_s} 秒）未得到验证' +
      '[[；上次验证：{last}]][[；代理报告停留在 {hop}]][[：{detail}]]',
  },
  'certificate.ending': {
    en: '{certificate} ({name}) of collector {collector} ends {at}',
    'zh-CN': '采集中心 {collector} 的{certificate}（{name}）将于 {at} 到期',
  },
  'certificate.ended': {
    en: '{certificate} ({name}) of collector {collector} ended {at}',
    'zh-CN': '采集中心 {collector} 的{certificate}（{name}）已于 {at} 过期',
  },
  'probe.entered': {
    en: 'Probe through source {source}',
    'zh-CN': '经数据源 {source} 的探测',
  },
  'ticket.manual': { en: '{text}', 'zh-CN': '{text}' },
  'test.alarm': { en: 'Test alarm', 'zh-CN': '测试报警' },
};

/** `~` while values are filled in, which may hold one of their own. */
const JOINT = '\ue000';

/** Fills one entry. */
export function render(
  template: string,
  values: Readonly<Record<string, string>>,
  language: Language,
): string {
  const value = (name: string): string => {
    const raw = Object.hasOwn(values, name) ? (values[name] ?? '').trim() : '';
    return word(name, raw, language);
  };
  const put = (text: string, missing: string): string =>
    text.replace(/\{([a-z_]+)\}/g, (_, name: string) => value(name) || missing);
  const whole = template.replaceAll('~', JOINT).replace(/\[\[(.*?)\]\]/g, (_, part: string) => {
    const names = [...part.matchAll(/\{([a-z_]+)\}/g)].map((m) => m[1] ?? '');
    return names.every((name) => value(name) !== '') ? put(part, '') : '';
  });
  return put(whole, '?').replace(/(.?)\ue000/gu, (_, before: string) =>
    /\p{Script=Han}/u.test(before) ? before : `${before} `,
  );
}

/**
 * A message in the reader's language; for an unknown key the device's words, and when it said
 * nothing the key and its arguments, so that a fault never shows as an empty line.
 */
export function messageText(message: Message, text: string, language: Language): string {
  const entry = Object.hasOwn(catalogue, message.key) ? catalogue[message.key] : undefined;
  const values = message.arguments ?? {};
  if (entry) return render(entry[language], values, language);
  const own = text.trim();
  if (own !== '') return own;
  const list = Object.entries(values).map(([name, value]) => `${name}=${value}`);
  return [message.key, ...list].filter((part) => part !== '').join(' ') || '?';
}
