import { Table } from 'antd';
import type { SourceHealth } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { SourceMark } from './FleetMarks';
import { Age } from './Moment';

/** Each source of an agent and how it is doing. */
export function SourceTable({ sources }: { sources: SourceHealth[] }) {
  const { t } = useI18n();
  return (
    <Table<SourceHealth>
      className="inner"
      size="small"
      rowKey="source"
      pagination={false}
      scroll={{ x: 960 }}
      dataSource={sources}
      locale={{ emptyText: t('fleet.sources-none') }}
      columns={[
        { title: t('fleet.source'), dataIndex: 'source', width: 180 },
        { title: t('fleet.source-kind'), width: 120, render: (_, s) => named('kind', s.kind, t) },
        { title: t('fleet.source-device'), dataIndex: 'device', width: 160 },
        { title: t('fleet.source-state'), width: 110, render: (_, s) => <SourceMark state={s.state} /> },
        { title: t('fleet.source-since'), width: 120, render: (_, s) => <Age at={s.since} /> },
        { title: t('fleet.source-read'), width: 120, render: (_, s) => <Age at={s.last_reading_at} /> },
        { title: t('fleet.source-detail'), render: (_, s) => s.detail || t('app.none') },
      ]}
    />
  );
}
