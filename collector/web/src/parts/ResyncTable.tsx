import { Table } from 'antd';
import type { Resync } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { visible } from '../model/evidence';
import { Moment } from './Moment';

/** The last times that the whole alarm set was told: why, when, and what that changed here. */
export function ResyncTable({ resyncs }: { resyncs: Resync[] }) {
  const { t } = useI18n();
  const count = (r: Resync, n: number) => (r.answered_at === null ? t('app.none') : n);
  const answered = (r: Resync) => {
    if (r.answered_at !== null) return <Moment at={r.answered_at} />;
    if (r.ended_at !== null) return t('resync.ended');
    return <span className="warn">{t('resync.waiting', { n: r.asked })}</span>;
  };
  return (
    <Table<Resync>
      className="resyncs"
      size="small"
      rowKey="id"
      dataSource={resyncs}
      pagination={resyncs.length > 10 ? { pageSize: 10, size: 'small', showSizeChanger: false } : false}
      scroll={{ x: 960 }}
      columns={[
        {
          title: t('resync.asked'),
          width: 180,
          render: (_, r) => (r.asked_at === null ? t('resync.unasked') : <Moment at={r.asked_at} />),
        },
        {
          title: t('resync.reason'),
          render: (_, r) => <span data-reason={r.reason}>{named('resync', visible(r.reason), t)}</span>,
        },
        { title: t('resync.answered'), width: 180, render: (_, r) => answered(r) },
        { title: t('resync.alarms'), width: 80, align: 'right', render: (_, r) => count(r, r.alarms) },
        { title: t('resync.raised'), width: 80, align: 'right', render: (_, r) => count(r, r.raised) },
        { title: t('resync.changed'), width: 80, align: 'right', render: (_, r) => count(r, r.changed) },
        { title: t('resync.cleared'), width: 80, align: 'right', render: (_, r) => count(r, r.cleared) },
        { title: t('resync.unchanged'), width: 90, align: 'right', render: (_, r) => count(r, r.unchanged) },
        { title: t('resync.refused'), width: 80, align: 'right', render: (_, r) => count(r, r.refused) },
      ]}
    />
  );
}
