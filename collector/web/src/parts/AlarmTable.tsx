import { Table, type TableColumnsType } from 'antd';
import { useMemo } from 'react';
import { Link } from 'wouter';
import type { Alarm } from '../api';
import { useI18n } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { word } from '../i18n/words';
import { SeverityMark } from './Marks';
import { Moment } from './Moment';

/** Alarms with the rule that made each. `withTicket`: on an agent's page they lead to their tickets. */
export function AlarmTable({ alarms, withTicket = false }: { alarms: Alarm[]; withTicket?: boolean }) {
  const { t, language } = useI18n();
  const columns = useMemo<TableColumnsType<Alarm>>(
    () => [
      {
        title: t('ticket.alarm-state'),
        width: 84,
        render: (_, a) => (
          <span className={`mark ${a.active ? 'active' : 'cleared'}`}>
            {a.active ? t('ticket.alarm-active') : t('ticket.alarm-cleared')}
          </span>
        ),
      },
      { title: t('severity.label'), width: 116, render: (_, a) => <SeverityMark severity={a.severity} /> },
      ...(withTicket
        ? [
            {
              title: t('agent.ticket'),
              width: 100,
              render: (_: unknown, a: Alarm) =>
                a.ticket === null ? (
                  t('app.none')
                ) : (
                  <Link href={`/tickets/${encodeURIComponent(a.ticket)}`}>{a.ticket}</Link>
                ),
            },
          ]
        : []),
      {
        title: t('ticket.alarm-message'),
        render: (_, a) => (
          <>
            {messageText(a.message, a.text, language)}
            <div className="words">
              {[a.device_name, a.resource, word('type', a.type, language), a.qualifier].filter(Boolean).join(' · ')}
            </div>
          </>
        ),
      },
      {
        title: t('ticket.alarm-rule'),
        width: 200,
        render: (_, a) => <code className="rule">{ruleText(a)}</code>,
      },
      { title: t('ticket.alarm-raised'), width: 170, render: (_, a) => <Moment at={a.raised_at} /> },
      // An agent's page shows active ones only.
      ...(withTicket
        ? []
        : [
            {
              title: t('ticket.alarm-ended'),
              width: 170,
              render: (_: unknown, a: Alarm) => <Moment at={a.cleared_at} />,
            },
          ]),
    ],
    [t, language, withTicket],
  );
  return (
    <Table<Alarm>
      size="small"
      rowKey="alarm_id"
      columns={columns}
      dataSource={alarms}
      pagination={alarms.length > 20 ? { pageSize: 20, size: 'small', showSizeChanger: false } : false}
      scroll={{ x: 980 }}
    />
  );
}

function ruleText({ rule }: Alarm): string {
  const pack = rule.version === '' ? rule.pack : `${rule.pack}@${rule.version}`;
  return [pack, rule.id].filter((part) => part !== '').join(' / ');
}
