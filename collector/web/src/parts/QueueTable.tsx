import { Table, Tooltip, type TableColumnsType } from 'antd';
import { useMemo, type KeyboardEvent, type ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import type { Due, TicketSummary } from '../api';
import { useI18n, type Translate } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { named } from '../i18n/named';
import { USUAL_COLUMNS } from '../model/queue';
import { dateTime, readTime } from '../time';
import { Countdown } from './Countdown';
import { PriorityMark, SeverityMark, StateMark } from './Marks';
import { Age } from './Moment';

interface Props {
  items: readonly TicketSummary[];
  loading: boolean;
  isNew(number: string): boolean;
  empty: ReactNode;
  /** By number: those whose time runs. */
  due: ReadonlyMap<string, Due>;
  /** Beside the number; none: the usual ones. */
  shown: readonly string[];
  picked: readonly string[];
  onPick(numbers: string[]): void;
}

export function QueueTable({ items, loading, isNew, empty, due, shown, picked, onPick }: Props) {
  const { t } = useI18n();
  const [, go] = useLocation();
  const columns = useMemo(() => chosen(columnsOf(t, due), shown), [t, due, shown]);
  return (
    <Table<TicketSummary>
      className="queue"
      size="small"
      rowKey="number"
      columns={columns}
      dataSource={items}
      loading={loading}
      pagination={false}
      rowSelection={{
        selectedRowKeys: [...picked],
        onChange: (keys) => onPick(keys.map(String)),
        getCheckboxProps: (ticket) => ({ 'aria-label': t('bulk.pick', { number: ticket.number }), tabIndex: -1 }),
        columnWidth: 36,
      }}
      scroll={{ x: 680 }}
      locale={{ emptyText: loading ? ' ' : empty }}
      rowClassName={(ticket) =>
        `${isNew(ticket.number) ? 'fresh' : ''} ${ticket.severity} ${ticket.state === 'closed' ? 'over' : ''}`
      }
      onRow={(ticket) => ({
        ...{ 'data-device': ticket.device.name, 'data-resource': ticket.resource },
        tabIndex: 0,
        onClick: (event) => {
          // Selecting text to copy it is not a wish to leave; links go their own way.
          if (window.getSelection()?.toString() || (event.target as Element).closest('a, label, .ant-table-selection-column')) return;
          go(ticketPath(ticket));
        },
        onKeyDown: (event) => rowKey(event, () => go(ticketPath(ticket))),
      })}
    />
  );
}

function ticketPath(ticket: TicketSummary): string {
  return `/tickets/${encodeURIComponent(ticket.number)}`;
}

/** Enter opens a row, space picks it, the arrow keys walk. */
function rowKey(event: KeyboardEvent<HTMLElement>, open: () => void): void {
  const row = event.currentTarget;
  if (event.target !== row) return;
  if (event.key === 'Enter') open();
  if (event.key === ' ') {
    event.preventDefault();
    row.querySelector<HTMLInputElement>('input[type=checkbox]')?.click();
  }
  const next =
    event.key === 'ArrowDown' ? row.nextElementSibling : event.key === 'ArrowUp' ? row.previousElementSibling : null;
  if (next instanceof HTMLElement && next.tabIndex === 0) {
    event.preventDefault();
    next.focus();
  }
}

/** The number and those columns that are wished, in their order. */
function chosen(all: TableColumnsType<TicketSummary>, shown: readonly string[]): TableColumnsType<TicketSummary> {
  const of = (key: string) => all.filter((column) => column.key === key);
  return shown.length === 0
    ? [...of('number'), ...USUAL_COLUMNS.flatMap(of)]
    : // What somebody wished for has its room on every screen.
      [...of('number'), ...shown.flatMap(of).map((column) => ({ ...column, responsive: undefined! }))];
}

/** Narrow screens leave out what the ticket's own page says: what is wrong keeps its room. */
function columnsOf(t: Translate, due: ReadonlyMap<string, Due>): TableColumnsType<TicketSummary> {
  return [
    {
      key: 'number',
      title: t('queue.number'),
      dataIndex: 'number',
      width: 96,
      render: (_, ticket) => (
        <Link href={ticketPath(ticket)} className="number" data-ticket={ticket.number} tabIndex={-1}>
          {ticket.number}
        </Link>
      ),
    },
    {
      key: 'severity',
      title: t('queue.severity'),
      width: 112,
      render: (_, ticket) => <SeverityMark severity={ticket.severity} />,
    },
    {
      key: 'priority',
      title: t('queue.priority'),
      width: 66,
      responsive: ['md'],
      render: (_, ticket) => <PriorityMark priority={ticket.priority} />,
    },
    {
      key: 'what',
      title: t('queue.what'),
      ellipsis: true,
      render: (_, ticket) => <What ticket={ticket} />,
    },
    {
      key: 'device',
      title: t('queue.device'),
      width: 130,
      responsive: ['lg'],
      ellipsis: true,
      render: (_, ticket) => <span title={ticket.device.id}>{ticket.device.name || ticket.device.id}</span>,
    },
    { key: 'resource', title: t('queue.resource'), dataIndex: 'resource', width: 120, ellipsis: true, responsive: ['xl'] },
    {
      key: 'site',
      title: t('queue.site'),
      width: 140,
      responsive: ['xl'],
      ellipsis: true,
      render: (_, ticket) => [ticket.site, ticket.customer].filter(Boolean).join(' / ') || t('app.none'),
    },
    {
      key: 'state',
      title: t('queue.state'),
      width: 106,
      render: (_, ticket) => <StateMark state={ticket.state} />,
    },
    {
      key: 'assignee',
      title: t('queue.assignee'),
      width: 110,
      ellipsis: true,
      render: (_, ticket) => ticket.assignee ?? t('app.none'),
    },
    {
      key: 'left',
      title: t('queue.left'),
      width: 130,
      render: (_, ticket) => <Left due={due.get(ticket.number)} />,
    },
    {
      key: 'opened',
      title: t('queue.opened'),
      width: 100,
      render: (_, ticket) => <Age at={ticket.opened_at} />,
    },
    {
      key: 'recurrences',
      title: t('queue.recurrences'),
      width: 78,
      responsive: ['lg'],
      align: 'right',
      render: (_, ticket) =>
        ticket.recurrences > 0 ? (
          <span className="again" title={t('queue.recurrences-hint')}>
            {ticket.recurrences}
          </span>
        ) : (
          t('app.none')
        ),
    },
  ];
}

/** Until the first of its limits is over. */
function Left({ due }: { due: Due | undefined }) {
  const { t } = useI18n();
  if (due === undefined) return <>{t('app.none')}</>;
  return <Countdown at={due.due_at} hint={t('queue.left-hint', { clock: named('clock', due.clock, t) })} />;
}

/** What is wrong in the reader's language, then the device's own words. */
function What({ ticket }: { ticket: TicketSummary }) {
  const { t, language } = useI18n();
  const title = messageText(ticket.title, ticket.text, language);
  const cleared = readTime(ticket.condition_cleared_at);
  return (
    <div className="what">
      <div className="title">
        {ticket.test && <span className="mark test">{t('queue.test')}</span>}
        {cleared !== null && (
          <Tooltip title={t('queue.cleared-hint', { time: dateTime(cleared, language) })}>
            <span className="mark cleared">{t('queue.cleared')}</span>
          </Tooltip>
        )}
        <span title={title}>{title}</span>
      </div>
      {ticket.text !== '' && ticket.text !== title && (
        <div className="words" title={ticket.text}>
          {ticket.text}
        </div>
      )}
    </div>
  );
}
