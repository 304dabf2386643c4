import { DownOutlined, RightOutlined } from '@ant-design/icons';
import { Table } from 'antd';
import type { AuditEntry } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import { readable } from '../model/audit';
import { visible } from '../model/evidence';
import { CopyButton } from './CopyButton';
import { Facts } from './Facts';
import { Moment } from './Moment';

interface Props {
  items: readonly AuditEntry[];
  loading: boolean;
  /** Rows from this one on prove nothing. */
  brokenFrom: number | null;
  empty: string;
}

/** Entries of the record, each to be opened in full. */
export function AuditTable({ items, loading, brokenFrom, empty }: Props) {
  const { t } = useI18n();
  const isBroken = (entry: AuditEntry) => brokenFrom !== null && Number(entry.row) >= brokenFrom;
  return (
    <Table<AuditEntry>
      className="audit"
      size="small"
      rowKey="row"
      dataSource={items}
      loading={loading}
      pagination={false}
      scroll={{ x: 820 }}
      locale={{ emptyText: loading ? ' ' : <p className="empty">{empty}</p> }}
      rowClassName={(entry) => (isBroken(entry) ? 'broken' : '')}
      expandable={{
        expandRowByClick: true,
        expandedRowRender: (entry) => <Whole entry={entry} />,
        expandIcon: ({ expanded, onExpand, record }) => (
          <button
            type="button"
            className="quiet light expand"
            aria-expanded={expanded}
            aria-label={t(expanded ? 'audit.collapse' : 'audit.expand', { row: record.row })}
            onClick={(event) => {
              event.stopPropagation();
              onExpand(record, event);
            }}
          >
            {expanded ? <DownOutlined aria-hidden="true" /> : <RightOutlined aria-hidden="true" />}
          </button>
        ),
      }}
      columns={[
        { title: t('audit.row'), width: 84, align: 'right', render: (_, e) => <span data-row={e.row}>{e.row}</span> },
        { title: t('audit.at'), width: 180, render: (_, e) => <Moment at={e.at} /> },
        { title: t('audit.what'), width: 230, render: (_, e) => <span data-what={e.what}>{named('deed', e.what, t)}</span> },
        { title: t('audit.who'), width: 180, render: (_, e) => visible(e.who) },
        { title: t('audit.subject'), render: (_, e) => <span className="rule">{visible(e.subject)}</span> },
      ]}
    />
  );
}

function Whole({ entry }: { entry: AuditEntry }) {
  const { t } = useI18n();
  const hash = (text: string) => (
    <span className="sum">
      <code>{text}</code> <CopyButton text={text} />
    </span>
  );
  return (
    <div className="stacked" data-entry={entry.row}>
      <Facts
        items={[
          [t('audit.row'), entry.row],
          [t('audit.at'), <code key="at">{entry.at}</code>],
          [t('audit.what'), <code key="what">{entry.what}</code>],
          [t('audit.who'), visible(entry.who)],
          [t('audit.subject'), visible(entry.subject)],
          [t('audit.detail'), <pre key="detail" className="detail">{visible(readable(entry.detail))}</pre>],
          [t('audit.previous'), hash(entry.previous)],
          [t('audit.hash'), hash(entry.hash)],
        ]}
      />
    </div>
  );
}
