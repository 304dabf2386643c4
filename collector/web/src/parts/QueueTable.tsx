import { Table, Tooltip, type TableColumnsType } from 'antd';
import { useMemo, type KeyboardEvent, type ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import type { Due, TicketSummary } from '../api';
import { useI18n, type Translate } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { named } from '../i18n/named';
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
}

export function QueueTable({ items, loading, isNew, empty, due }: Props) {
  const { t } = useI18n();
  const [, go] = useLocation();
  const columns = useMemo(() => columnsOf(t, due), [t, due]);
  return (
    <Table<TicketSummary>
      className="queue"
      size="small"
      rowKey="number"
      columns={columns}
      dataSource={items}
      loading={loading}
      pagination={false}
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
          if (window.getSelection()?.toString() || (event.target as Element).closest('a')) return;
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

/** Enter opens a row, the arrow keys walk. */
function rowKey(event: KeyboardEvent<HTMLElement>, open: () => void): void {
  const row = event.currentTarget;
  if (event.target !== row) return;
  if (event.key === 'Enter') open();
  const next =
    event.key === 'ArrowDown' ? row.nextElementSibling : event.key === 'ArrowUp' ? row.previousElementSibling : null;
  if (next instanceof HTMLElement && next.tabIndex === 0) {
    event.preventDefault();
    next.focus();
  }
}

/** Narrow screens leave out what the ticket's own page says: what is wrong keeps its room. */
function columnsOf(t: Translate, due: ReadonlyMap<string, Due>): TableColumnsType<TicketSummary> {
  return [
    {
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
      title: t('queue.severity'),
      width: 112,
      render: (_, ticket) => <SeverityMark severity={ticket.severity} />,
    },
    {
      title: t('queue.priority'),
      width: 66,
      responsive: ['md'],
      render: (_, ticket) => <PriorityMark priority={ticket.priority} />,
    },
    {
      title: t('queue.what'),
      ellipsis: true,
      render: (_, ticket) => <What ticket={ticket} />,
    },
    {
      title: t('queue.device'),
      width: 130,
      responsive: ['lg'],
      ellipsis: true,
      render: (_, ticket) => <span title={ticket.device.id}>{ticket.device.name || ticket.device.id}</span>,
    },
    { title: t('queue.resource'), dataIndex: 'resource', width: 120, ellipsis: true, responsive: ['xl'] },
    {
      title: t('queue.site'),
      width: 140,
      responsive: ['xl'],
      ellipsis: true,
      render: (_, ticket) => [ticket.site, ticket.customer].filter(Boolean).join(' / ') || t('app.none'),
    },
    {
      title: t('queue.state'),
      width: 106,
      render: (_, ticket) => <StateMark state={ticket.state} />,
    },
    {
      title: t('queue.left'),
      width: 130,
      render: (_, ticket) => <Left due={due.get(ticket.number)} />,
    },
    {
      title: t('queue.opened'),
      width: 100,
      render: (_, ticket) => <Age at={ticket.opened_at} />,
    },
    {
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
