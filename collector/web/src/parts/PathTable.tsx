import { Table } from 'antd';
import type { ProvenPath } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { Age } from './Moment';

/** Each source's path to a ticket: when it was last proven, how long that took, where a probe is stuck. */
export function PathTable({ paths }: { paths: ProvenPath[] }) {
  const { t } = useI18n();
  const ms = (value: number | null) => (value === null ? t('app.none') : t('agent.path-ms', { ms: String(value) }));
  const stuck = (p: ProvenPath) =>
    p.hop === null ? t('app.none') : [named('hop', p.hop, t), p.detail ?? ''].filter(Boolean).join(': ');
  return (
    <Table<ProvenPath>
      className="inner"
      size="small"
      rowKey="source"
      pagination={false}
      scroll={{ x: 960 }}
      dataSource={paths}
      columns={[
        { title: t('fleet.source'), dataIndex: 'source', width: 180 },
        { title: t('fleet.source-kind'), width: 120, render: (_, p) => named('kind', p.kind, t) },
        {
          title: t('agent.path-state'),
          width: 120,
          render: (_, p) => t(p.proven && p.hop === null ? 'agent.path-proven' : 'agent.path-overdue'),
        },
        { title: t('agent.path-at'), width: 140, render: (_, p) => <Age at={p.proven_at} /> },
        { title: t('agent.path-ticket'), width: 120, render: (_, p) => p.ticket ?? t('app.none') },
        { title: t('agent.path-median'), width: 100, align: 'right', render: (_, p) => ms(p.p50_ms) },
        { title: t('agent.path-slowest'), width: 100, align: 'right', render: (_, p) => ms(p.p99_ms) },
        { title: t('agent.path-stuck'), render: (_, p) => stuck(p) },
      ]}
    />
  );
}
