import { DownOutlined, RightOutlined } from '@ant-design/icons';
import { Alert, Table } from 'antd';
import type { Readout, SourceHealth } from '../api';
import { useI18n, type Translate } from '../i18n';
import { named } from '../i18n/named';
import { visible } from '../model/evidence';
import { hintKind } from '../model/fleet';
import { Facts } from './Facts';
import { SourceMark } from './FleetMarks';
import { Age, Moment } from './Moment';

/** Each source and how it is doing; devices with what their last reading was like, shown at once if `open`. */
export function SourceTable({ sources, open = false }: { sources: SourceHealth[]; open?: boolean }) {
  const { t } = useI18n();
  const some = sources.some((s) => s.readout);
  return (
    <Table<SourceHealth>
      className="inner"
      size="small"
      rowKey="source"
      pagination={sources.length > 50 ? { pageSize: 50, size: 'small', showSizeChanger: false } : false}
      scroll={{ x: 960 }}
      dataSource={sources}
      locale={{ emptyText: t('fleet.sources-none') }}
      {...(some ? { expandable: { ...expandable(t), defaultExpandAllRows: open } } : {})}
      columns={[
        { title: t('fleet.source'), dataIndex: 'source', width: 180 },
        { title: t('fleet.source-kind'), width: 120, render: (_, s) => named('kind', s.kind, t) },
        { title: t('fleet.source-device'), dataIndex: 'device', width: 160 },
        { title: t('fleet.source-state'), width: 110, render: (_, s) => <SourceMark state={s.state} /> },
        { title: t('fleet.source-since'), width: 120, render: (_, s) => <Age at={s.since} /> },
        { title: t('fleet.source-read'), width: 120, render: (_, s) => <Age at={s.last_reading_at} /> },
        { title: t('fleet.source-detail'), render: (_, s) => (s.detail ? visible(s.detail) : t('app.none')) },
      ]}
    />
  );
}

function expandable(t: Translate) {
  return {
    rowExpandable: (s: SourceHealth) => s.readout !== undefined,
    expandedRowRender: (s: SourceHealth) => s.readout && <ReadoutFacts readout={s.readout} />,
    expandIcon: ({
      expanded,
      expandable,
      onExpand,
      record,
    }: {
      expanded: boolean;
      expandable: boolean;
      onExpand: (record: SourceHealth, event: React.MouseEvent<HTMLElement>) => void;
      record: SourceHealth;
    }) =>
      expandable && (
        <button
          type="button"
          className="quiet light expand"
          data-readout={record.source}
          aria-expanded={expanded}
          aria-label={t(expanded ? 'readout.collapse' : 'readout.expand', { source: record.source })}
          onClick={(event) => onExpand(record, event)}
        >
          {expanded ? <DownOutlined aria-hidden="true" /> : <RightOutlined aria-hidden="true" />}
        </button>
      ),
  };
}

function ReadoutFacts({ readout }: { readout: Readout }) {
  const { t } = useI18n();
  const { slowest, hint } = readout;
  const ms = (n: number) => t('readout.ms', { ms: String(n) });
  return (
    <div className="stacked" data-hint={hint ?? ''}>
      {hint && <Alert type={hintKind(hint)} showIcon title={named('hint', hint, t)} />}
      <Facts
        items={[
          [t('readout.at'), <Moment key="at" at={readout.at} />],
          [t('readout.took'), ms(readout.took_ms)],
          [t('readout.slowest'), slowest && <code key="slow">{`${slowest.oid} (${ms(slowest.ms)})`}</code>],
          [t('readout.values'), readout.values],
          [t('readout.faults'), <span key="faults" className={readout.faults > 0 ? 'warn' : ''}>{readout.faults}</span>],
          [t('readout.profiles'), (readout.profiles ?? []).map(visible).join(', ')],
          [t('readout.chosen'), readout.chosen && named('chosen', readout.chosen, t)],
          [t('readout.sysobjectid'), readout.sysobjectid && <code key="id">{visible(readout.sysobjectid)}</code>],
        ]}
      />
    </div>
  );
}
