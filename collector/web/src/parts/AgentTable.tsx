import { DownOutlined, RightOutlined } from '@ant-design/icons';
import { Table, type TableColumnsType } from 'antd';
import { useMemo } from 'react';
import { Link } from 'wouter';
import { api, type Agent } from '../api';
import { useI18n, type Translate } from '../i18n';
import { errorText } from '../i18n/errors';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { agentState, matches } from '../model/fleet';
import { AgentMark, CertificateText, OutboxText, SourcesText } from './FleetMarks';
import { Age } from './Moment';
import { Trouble } from './Notice';
import { SourceTable } from './SourceTable';

const wanted = (topic: Topic) => topic.event === 'agent' || topic.event === 'alarm';
const load = (signal: AbortSignal) => api.agents(signal);

export function AgentTable({ search }: { search: string }) {
  const { t } = useI18n();
  const { data, error, loading, reload } = useFetched(load, wanted);
  const columns = useMemo(() => columnsOf(t), [t]);
  const agents = (data ?? []).filter((a) => matches(search, [a.id, a.site, a.customer, a.version]));
  return (
    <>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      <Table<Agent>
        size="small"
        rowKey="id"
        columns={columns}
        dataSource={agents}
        loading={loading}
        pagination={agents.length > 50 ? { pageSize: 50, size: 'small', showSizeChanger: false } : false}
        scroll={{ x: 970 }}
        locale={{ emptyText: loading ? ' ' : <p className="empty">{t(search === '' ? 'fleet.no-agents' : 'fleet.no-match')}</p> }}
        expandable={{
          rowExpandable: (agent) => (agent.heartbeat?.sources ?? []).length > 0,
          expandedRowRender: (agent) => <SourceTable sources={agent.heartbeat?.sources ?? []} />,
          expandIcon: ({ expanded, expandable, onExpand, record }) =>
            expandable && (
              <button
                type="button"
                className="quiet light expand"
                aria-expanded={expanded}
                aria-label={t(expanded ? 'fleet.collapse' : 'fleet.expand', { id: record.id })}
                onClick={(event) => onExpand(record, event)}
              >
                {expanded ? <DownOutlined aria-hidden="true" /> : <RightOutlined aria-hidden="true" />}
              </button>
            ),
        }}
      />
    </>
  );
}

function columnsOf(t: Translate): TableColumnsType<Agent> {
  return [
    {
      title: t('fleet.agent'),
      width: 150,
      render: (_, a) => (
        <Link href={`/fleet/agents/${encodeURIComponent(a.id)}`} data-agent={a.id}>
          {a.id}
        </Link>
      ),
    },
    { title: t('fleet.state'), width: 106, render: (_, a) => <AgentMark state={agentState(a)} /> },
    {
      title: t('queue.site'),
      width: 150,
      ellipsis: true,
      responsive: ['xl'],
      render: (_, a) => [a.site, a.customer].filter(Boolean).join(' / ') || t('app.none'),
    },
    { title: t('fleet.last-seen'), width: 100, render: (_, a) => <Age at={a.last_seen_at} /> },
    { title: t('fleet.alarms'), width: 105, align: 'right', render: (_, a) => a.active_alarms },
    { title: t('fleet.sources'), width: 110, render: (_, a) => <SourcesText agent={a} /> },
    { title: t('fleet.outbox'), render: (_, a) => <OutboxText heartbeat={a.heartbeat} /> },
    {
      title: t('fleet.certificate'),
      width: 210,
      render: (_, a) => <CertificateText notAfter={a.certificate_not_after} />,
    },
    { title: t('fleet.version'), width: 80, responsive: ['xxl'], render: (_, a) => a.version ?? t('app.none') },
  ];
}
