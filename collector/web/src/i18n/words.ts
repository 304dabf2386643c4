// Names that the built-in rules and profiles use, in both languages. What is not here (a name from
// a customer's own rule) is shown as it is written.

import type { Language } from '../api';

type Words = Readonly<Record<string, Readonly<Record<Language, string>>>>;

const w = (en: string, zh: string) => ({ en, 'zh-CN': zh });

/** Alarm types. */
const type: Words = {
  'psu-failed': w('Power supply failed', '电源故障'),
  'fan-failed': w('Fan failed', '风扇故障'),
  'disk-failed': w('Disk failed', '磁盘故障'),
  'port-down': w('Port down', '端口中断'),
  'link-down': w('Link down', '链路中断'),
  'component-failed': w('Component failed', '部件故障'),
  'component-alarm': w('Component reports an alarm', '部件报警'),
  'sensor-failed': w('Sensor failed', '传感器故障'),
  'device-failed': w('Device failed', '设备故障'),
  'process-failed': w('Process failed', '进程异常'),
  'check-failed': w('Check failed', '检查失败'),
  'file-too-large': w('File too large', '文件过大'),
  'storage-full': w('Storage nearly full', '存储空间不足'),
  'disk-space-low': w('Disk space low', '磁盘空间不足'),
  'memory-low': w('Memory low', '内存不足'),
  'swap-low': w('Swap space low', '交换空间不足'),
  'load-high': w('Load too high', '负载过高'),
  'temperature-high': w('Temperature too high', '温度过高'),
  'path-not-proven': w('Path not proven', '链路未验证'),
  'callhome-probe': w('Probe', '探测'),
  'source-silent': w('Source silent', '数据源无输出'),
  'certificate-ending': w('Certificate ends', '证书即将到期'),
  'agent-silent': w('Agent silent', '代理失联'),
  'source-unreadable': w('Source cannot be read', '数据源无法读取'),
  'device-unreachable': w('Device unreachable', '设备不可达'),
  test: w('Test', '测试'),
};

const metric: Words = {
  'disk.used_percent': w('Disk space used', '磁盘使用率'),
  'memory.used_percent': w('Memory used', '内存使用率'),
  'temperature.celsius': w('Temperature', '温度'),
  'load.per_core': w('Load per core', '每核负载'),
  ifOperStatus: w('Interface state', '接口状态'),
  hrStorageUsedPercent: w('Storage used', '存储使用率'),
  hrDeviceStatus: w('Device state', '设备状态'),
  entStateOper: w('Operational state', '运行状态'),
  entStateAlarm: w('Alarm state', '报警状态'),
  entPhySensorOperStatus: w('Sensor state', '传感器状态'),
  prErrorFlag: w('Process check', '进程检查'),
  dskErrorFlag: w('Disk space check', '磁盘空间检查'),
  memSwapError: w('Swap space check', '交换空间检查'),
  laErrorFlag: w('Load check', '负载检查'),
  'source.readable': w('Source', '数据源'),
  fileErrorFlag: w('File size check', '文件大小检查'),
  extResult: w('Result of the check', '检查结果'),
};

const value: Words = {
  unreadable: w('cannot be read', '无法读取'),
  missing: w('not there', '不存在'),
  unanswered: w('does not answer its commands', '未应答命令'),
  down: w('down', '中断'),
  lowerLayerDown: w('lower layer down', '下层中断'),
  notPresent: w('not present', '不存在'),
  disabled: w('disabled', '不可用'),
  nonoperational: w('not working', '不工作'),
  unavailable: w('unavailable', '不可获取'),
  testing: w('testing', '测试中'),
  unknown: w('unknown', '未知'),
  dormant: w('dormant', '休眠'),
  failed: w('failed', '故障'),
  error: w('error', '错误'),
  warning: w('warning', '警告'),
  critical: w('critical', '紧急'),
  major: w('major', '重要'),
  minor: w('minor', '次要'),
};

/** Words by the argument of a message that carries them. */
const words: Readonly<Record<string, Words>> = {
  type,
  metric,
  value,
  unit: { C: w('°C', '°C') },
  certificate: {
    server: w('Server certificate', '服务器证书'),
    ca: w('CA', 'CA 证书'),
    'next-ca': w('Next CA', '下一个 CA 证书'),
    'former-ca': w('Former CA', '上一个 CA 证书'),
  },
  hop: {
    reader: w('the reader', '读取'),
    rule: w('the rules', '规则'),
    outbox: w('the outbox', '发件箱'),
    link: w('the link', '连接'),
    collector: w('the collector', '确认'),
    receipt: w('the receipt', '回执'),
  },
};

/** A known name in the reader's language, any other as it is. */
export function word(kind: string, name: string, language: Language): string {
  const of = Object.hasOwn(words, kind) ? words[kind] : undefined;
  return of && Object.hasOwn(of, name) ? (of[name]?.[language] ?? name) : name;
}
