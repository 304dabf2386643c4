// Names of alarm types, metrics and states that the built-in rules use, in both languages.
// What is not here (a name from a customer's own rule) is shown as it is written.

import type { Language } from '../api';

type Entry = Readonly<Record<Language, string>>;

export const words: Readonly<Record<string, Entry>> = {
  'psu-failed': { en: 'Power supply failed', 'zh-CN': '电源故障' },
  'fan-failed': { en: 'Fan failed', 'zh-CN': '风扇故障' },
  'disk-failed': { en: 'Disk failed', 'zh-CN': '磁盘故障' },
  'disk-predicted-failure': { en: 'Disk failure predicted', 'zh-CN': '磁盘预警' },
  'link-down': { en: 'Link down', 'zh-CN': '链路中断' },
  'interface-errors': { en: 'Interface errors', 'zh-CN': '接口误码' },
  'component-failed': { en: 'Component failed', 'zh-CN': '部件故障' },
  'component-standby': { en: 'Component in standby', 'zh-CN': '部件处于备用' },
  'sensor-failed': { en: 'Sensor failed', 'zh-CN': '传感器故障' },
  'temperature-high': { en: 'Temperature too high', 'zh-CN': '温度过高' },
  'disk-full': { en: 'Disk nearly full', 'zh-CN': '磁盘空间不足' },
  'filesystem-full': { en: 'File system nearly full', 'zh-CN': '文件系统空间不足' },
  'storage-full': { en: 'Storage nearly full', 'zh-CN': '存储空间不足' },
  'memory-full': { en: 'Memory nearly full', 'zh-CN': '内存不足' },
  'memory-low': { en: 'Memory low', 'zh-CN': '内存不足' },
  'swap-low': { en: 'Swap space low', 'zh-CN': '交换空间不足' },
  'load-high': { en: 'Load too high', 'zh-CN': '负载过高' },
  'cpu-high': { en: 'CPU use too high', 'zh-CN': 'CPU 使用率过高' },
  'process-missing': { en: 'Process missing', 'zh-CN': '进程缺失' },
  'source-silent': { en: 'Source silent', 'zh-CN': '数据源无输出' },
  'device-unreachable': { en: 'Device unreachable', 'zh-CN': '设备不可达' },
  'agent-silent': { en: 'Agent silent', 'zh-CN': '代理失联' },
  'test': { en: 'Test', 'zh-CN': '测试' },
};

/** A known name in the reader's language, any other as it is. */
export function word(name: string, language: Language): string {
  return Object.hasOwn(words, name) ? (words[name]?.[language] ?? name) : name;
}
