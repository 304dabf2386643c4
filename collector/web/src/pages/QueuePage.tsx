import { Button } from 'antd';
import { useCallback, useEffect, useMemo, useState } from 'react';
import { useLocation, useSearchParams } from 'wouter';
import { api, type Due, type TicketFilter, type TicketList } from '../api';
import { useI18n } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { errorText } from '../i18n/errors';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { isFiltered, readFilter, writeFilter } from '../model/queue';
import { Trouble } from '../parts/Notice';
import { BulkBar } from '../parts/BulkBar';
import { QueueFilters } from '../parts/QueueFilters';
import { QueueTable } from '../parts/QueueTable';
import { QueueViews } from '../parts/QueueViews';
import { useNews } from '../parts/useNews';
import { useTitle } from '../title';

const concernsTickets = (topic: Topic) => topic.event === 'ticket';

export default function QueuePage() {
  const { t, language } = useI18n();
  const [, go] = useLocation();
  const [search, setSearch] = useSearchParams();
  const address = search.toString();
  const filter = useMemo(() => readFilter(new URLSearchParams(address)), [address]);
  const load = useCallback((signal: AbortSignal) => api.tickets(filter, signal), [filter]);
  const { data, error, loading, reload } = useFetched(load, concernsTickets);
  const fresh = useNews(address, data?.items ?? null);
  // While other tickets are fetched, the ones before stay under the veil: no flicker.
  const [shown, setShown] = useState<TicketList | null>(null);
  useEffect(() => {
    if (data) setShown(data);
  }, [data]);
  const list = data ?? shown;
  const due = useMemo(() => new Map((list?.due ?? []).map((one): [string, Due] => [one.number, one])), [list]);
  // The cursors of the newer pages, so that one can go back.
  const [picked, setPicked] = useState<readonly string[]>([]);
  const [trail, setTrail] = useState<readonly (string | null)[]>([]);

  const change = (part: Partial<TicketFilter>) => {
    setTrail([]);
    setPicked([]);
    setSearch(writeFilter({ ...filter, before: null, ...part }), { replace: true });
  };
  const older = () => {
    setPicked([]);
    setTrail([...trail, filter.before]);
    setSearch(writeFilter({ ...filter, before: data?.next ?? null }));
  };
  const newer = () => {
    setPicked([]);
    setTrail(trail.slice(0, -1));
    setSearch(writeFilter({ ...filter, before: trail.at(-1) ?? null }));
  };

  const byLeft = filter.sort === 'left';
  useTitle(t('queue.title'), fresh.unseen);
  const announced = data?.items.find((ticket) => ticket.number === fresh.latest);
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('queue.title')}</h1>
        <QueueFilters filter={filter} onChange={change} />
        <QueueViews filter={filter} onChange={change} />
        <Button type="primary" size="small" data-action="new-ticket" onClick={() => go('/tickets/new')}>
          {t('nav.new-ticket')}
        </Button>
      </div>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      {picked.length > 0 && (
        <BulkBar
          picked={(list?.items ?? []).filter((ticket) => picked.includes(ticket.number))}
          onDone={(remaining) => {
            setPicked(remaining);
            reload();
          }}
        />
      )}
      <QueueTable
        shown={filter.columns}
        picked={picked}
        onPick={setPicked}
        items={list?.items ?? []}
        due={due}
        loading={loading && error === null}
        isNew={fresh.has}
        empty={
          isFiltered(filter) ? (
            <p className="empty">
              {t('queue.empty-filter')}{' '}
              <Button type="link" size="small" onClick={() => change({ ...readFilter(new URLSearchParams()), columns: filter.columns })}>
                {t('queue.reset')}
              </Button>
            </p>
          ) : (
            <p className="empty">{t('queue.empty')}</p>
          )
        }
      />
      <div className="page-foot">
        <span className="hint">{t('queue.keys')}</span>
        <span className="grow" />
        <Button size="small" disabled={filter.before === null} onClick={newer}>
          {t(byLeft ? 'queue.previous' : 'queue.newer')}
        </Button>
        <span>{t('queue.page', { n: filter.before === null ? 1 : Math.max(2, trail.length + 1) })}</span>
        <Button size="small" disabled={!data?.next} onClick={older}>
          {t(byLeft ? 'queue.next' : 'queue.older')}
        </Button>
      </div>
      <p className="unseen" role="status" aria-live="polite">
        {announced &&
          t('queue.announce', {
            number: announced.number,
            title: messageText(announced.title, announced.text, language),
          })}
      </p>
    </div>
  );
}
