import { Table, type TableColumnsType } from 'antd';
import { useMemo } from 'react';
import { Link } from 'wouter';
import { api, type Device } from '../api';
import { useI18n, type Translate } from '../i18n';
import { errorText } from '../i18n/errors';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { matches } from '../model/fleet';
import { Age } from './Moment';
import { Trouble } from './Notice';

const wanted = (topic: Topic) => topic.event === 'alarm' || topic.event === 'agent';
const load = (signal: AbortSignal) => api.devices(null, signal);

export function DeviceTable({ search }: { search: string }) {
  const { t } = useI18n();
  const { data, error, loading, reload } = useFetched(load, wanted);
  const columns = useMemo(() => columnsOf(t), [t]);
  const devices = (data ?? []).filter((d) =>
    matches(search, [d.name, d.id, d.serial, d.vendor, d.model, d.firmware, d.site, d.customer, d.contract, d.agent]),
  );
  return (
    <>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      <Table<Device>
        size="small"
        rowKey={(d) => `${d.agent} ${d.id}`}
        columns={columns}
        dataSource={devices}
        loading={loading}
        pagination={devices.length > 50 ? { pageSize: 50, size: 'small', showSizeChanger: false } : false}
        scroll={{ x: 1340 }}
        locale={{ emptyText: loading ? ' ' : <p className="empty">{t(search === '' ? 'fleet.no-devices' : 'fleet.no-match')}</p> }}
      />
    </>
  );
}

function columnsOf(t: Translate): TableColumnsType<Device> {
  return [
    {
      title: t('fleet.device'),
      render: (_, d) => (
        <Link href={`/fleet/devices/${encodeURIComponent(d.agent)}/${encodeURIComponent(d.id)}`} data-device={d.id}>
          {visible(d.name || d.id)}
        </Link>
      ),
    },
    {
      title: t('fleet.vendor-model'),
      width: 200,
      render: (_, d) => [d.vendor, d.model].filter(Boolean).join(' ') || t('app.none'),
    },
    { title: t('fleet.serial'), width: 160, render: (_, d) => (d.serial ? <code>{d.serial}</code> : t('app.none')) },
    { title: t('fleet.firmware'), width: 120, render: (_, d) => d.firmware ?? t('app.none') },
    {
      title: t('queue.site'),
      width: 190,
      render: (_, d) => [d.site, d.customer].filter(Boolean).join(' / ') || t('app.none'),
    },
    { title: t('fleet.alarms'), width: 105, align: 'right', render: (_, d) => d.active_alarms },
    { title: t('fleet.contract'), width: 130, render: (_, d) => d.contract ?? t('app.none') },
    {
      title: t('fleet.agent'),
      width: 150,
      render: (_, d) => <Link href={`/fleet/agents/${encodeURIComponent(d.agent)}`}>{d.agent}</Link>,
    },
    { title: t('fleet.last-seen'), width: 110, render: (_, d) => <Age at={d.last_seen_at} /> },
  ];
}
