import { useCallback } from 'react';
import { api, type Notice } from '../api';
import { useI18n } from '../i18n';
import { named } from '../i18n/named';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { receiver } from '../model/notices';
import { Panel } from './Facts';
import { Moment } from './Moment';

const concerns = (topic: Topic) => topic.event === 'ticket';

/** Whom a ticket was told to, and what became of it. */
export function NoticePanel({ number }: { number: string }) {
  const { t } = useI18n();
  const load = useCallback((signal: AbortSignal) => api.ticketNotices(number, signal), [number]);
  const { data } = useFetched(load, concerns);
  const all = data?.items ?? [];
  if (all.length === 0) return null;
  return (
    <Panel title={t('notices.title')}>
      <ul className="plain">
        {all.map((notice) => (
          <li key={notice.id} data-notice={notice.state} title={visible(notice.result)}>
            {named('told', notice.event, t)} → {receiver(notice)} · <Moment at={notice.created_at} /> · <NoticeState notice={notice} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** Where a notice stands. */
export function NoticeState({ notice }: { notice: Notice }) {
  const { t } = useI18n();
  const bad = notice.state === 'failed' || notice.state === 'dropped';
  return (
    <span className={bad ? 'warn' : 'hint'}>
      {named('notice', notice.state, t)}
      {notice.attempts.length > 1 && ` (${t('notices.attempts', { n: notice.attempts.length })})`}
    </span>
  );
}
