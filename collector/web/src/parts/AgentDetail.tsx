// What was carried between an agent and the collector, and what was not.

import { Table } from 'antd';
import type { LaneBalance, LaneState, Loss, Reject, Stream } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { duration } from '../time';
import { Moment } from './Moment';

const few = (rows: number) =>
  rows > 20 ? ({ pageSize: 20, size: 'small', showSizeChanger: false } as const) : (false as const);

export function LossTable({ losses }: { losses: Loss[] }) {
  const { t } = useI18n();
  return (
    <Table<Loss>
      size="small"
      rowKey={(l) => `${l.source} ${l.from_at} ${l.to_at} ${l.reason}`}
      dataSource={losses}
      pagination={few(losses.length)}
      scroll={{ x: 760 }}
      columns={[
        { title: t('agent.loss-source'), dataIndex: 'source' },
        { title: t('agent.loss-from'), width: 180, render: (_, l) => <Moment at={l.from_at} /> },
        { title: t('agent.loss-to'), width: 180, render: (_, l) => <Moment at={l.to_at} /> },
        { title: t('agent.loss-reason'), width: 200, render: (_, l) => named('loss', l.reason, t) },
        { title: t('agent.loss-count'), width: 90, align: 'right', render: (_, l) => l.count ?? t('agent.loss-unknown') },
      ]}
    />
  );
}

export function RejectTable({ rejects }: { rejects: Reject[] }) {
  const { t } = useI18n();
  return (
    <Table<Reject>
      size="small"
      rowKey={(r) => `${r.envelope_id ?? ''} ${r.received_at} ${r.seq ?? ''} ${r.reason}`}
      dataSource={rejects}
      pagination={few(rejects.length)}
      scroll={{ x: 760 }}
      columns={[
        { title: t('agent.reject-at'), width: 180, render: (_, r) => <Moment at={r.received_at} /> },
        { title: t('agent.reject-seq'), width: 90, align: 'right', render: (_, r) => r.seq ?? t('app.none') },
        { title: t('agent.reject-reason'), width: 200, render: (_, r) => named('reject', r.reason, t) },
        { title: t('agent.reject-text'), dataIndex: 'text' },
      ]}
    />
  );
}

export function LaneTable({ lanes }: { lanes: LaneState[] }) {
  const { t, language } = useI18n();
  return (
    <Table<LaneState>
      size="small"
      rowKey="lane"
      dataSource={lanes}
      pagination={false}
      columns={[
        { title: t('agent.lane'), render: (_, l) => named('agent.lane', l.lane, t) },
        { title: t('agent.given'), dataIndex: 'last_seq', align: 'right' },
        { title: t('agent.acked'), dataIndex: 'acked_seq', align: 'right' },
        { title: t('agent.waiting'), dataIndex: 'depth', align: 'right' },
        {
          title: t('agent.oldest'),
          align: 'right',
          render: (_, l) => (l.depth > 0 ? duration(l.oldest_s, language) : t('app.none')),
        },
      ]}
    />
  );
}

/** What the agent made against what is here, lane by lane, and whether it closes. */
export function BalanceTable({ balance }: { balance: LaneBalance[] }) {
  const { t } = useI18n();
  const verdict = (b: LaneBalance) => {
    const lane = named('agent.lane', b.lane, t);
    const depth = b.agent?.depth ?? 0;
    return t(`balance.${b.verdict}`, { lane, made: b.made, missing: b.missing, depth });
  };
  return (
    <>
      {balance.map((b) => (
        <p key={b.lane} className={b.verdict === 'closes' ? 'hint' : 'warn'}>
          {verdict(b)}
        </p>
      ))}
      <Table<LaneBalance>
        size="small"
        rowKey="lane"
        dataSource={balance}
        pagination={false}
        scroll={{ x: 760 }}
        columns={[
          { title: t('agent.lane'), render: (_, b) => named('agent.lane', b.lane, t) },
          { title: t('balance.made'), dataIndex: 'made', align: 'right' },
          { title: t('balance.committed'), dataIndex: 'committed', align: 'right' },
          { title: t('balance.rejected'), dataIndex: 'rejected', align: 'right' },
          { title: t('balance.passed'), dataIndex: 'passed', align: 'right' },
          { title: t('balance.gone'), dataIndex: 'missing', align: 'right' },
          { title: t('balance.on-the-way'), dataIndex: 'on_the_way', align: 'right' },
          {
            title: t('balance.agent'),
            align: 'right',
            render: (_, b) =>
              b.agent === null
                ? t('app.none')
                : t('balance.account', {
                    acked: b.agent.acked,
                    folded: b.agent.folded,
                    evicted: b.agent.evicted,
                    depth: b.agent.depth,
                  }),
          },
        ]}
      />
    </>
  );
}

export function StreamTable({ streams }: { streams: Stream[] }) {
  const { t } = useI18n();
  return (
    <Table<Stream>
      size="small"
      rowKey={(s) => `${s.epoch} ${s.lane}`}
      dataSource={streams}
      pagination={few(streams.length)}
      scroll={{ x: 760 }}
      columns={[
        { title: t('agent.epoch'), render: (_, s) => <code>{s.epoch}</code> },
        { title: t('agent.lane'), width: 120, render: (_, s) => named('agent.lane', s.lane, t) },
        { title: t('agent.committed'), dataIndex: 'acked_seq', width: 160, align: 'right' },
        { title: t('agent.updated'), width: 190, render: (_, s) => <Moment at={s.updated_at} /> },
      ]}
    />
  );
}
