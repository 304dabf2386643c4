import { Select, Table, type TableColumnsType } from 'antd';
import { useCallback, useState } from 'react';
import { Link } from 'wouter';
import { api, type Notice } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { receiver } from '../model/notices';
import { Moment } from '../parts/Moment';
import { Trouble } from '../parts/Notice';
import { NoticeState } from '../parts/NoticePanel';
import { useTitle } from '../title';

const concerns = (topic: Topic) => topic.event === 'ticket';

/** The latest notices with their results. */
export default function NoticesPage() {
  const { t } = useI18n();
  useTitle(t('notices.title'));
  const [state, setState] = useState('');
  const load = useCallback((signal: AbortSignal) => api.notices(state, signal), [state]);
  const { data, error, loading, reload } = useFetched(load, concerns);
  const counts = data?.counts ?? [];
  const sum = counts.reduce((n, c) => n + c.count, 0);
  const columns: TableColumnsType<Notice> = [
    { title: t('notices.when'), render: (_, n) => <Moment at={n.created_at} /> },
    { title: t('notices.what'), render: (_, n) => named('told', n.event, t) },
    { title: t('notices.ticket'), render: (_, n) => n.ticket !== '' && <Link href={`/tickets/${n.ticket}`}>{n.ticket}</Link> },
    { title: t('notices.to'), render: (_, n) => receiver(n) },
    { title: t('notices.state'), render: (_, n) => <NoticeState notice={n} /> },
    { title: t('notices.result'), render: (_, n) => visible(n.result) },
  ];
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('notices.title')}</h1>
      </div>
      <Select<string>
        aria-label={t('notices.state')}
        style={{ minWidth: 220 }}
        value={state}
        onChange={setState}
        options={[
          { value: '', label: t('notices.all', { n: sum }) },
          ...counts.map((c) => ({ value: c.state, label: `${named('notice', c.state, t)}: ${c.count}` })),
        ]}
      />
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      <Table<Notice>
        size="small"
        rowKey="id"
        columns={columns}
        dataSource={data?.items ?? []}
        loading={loading}
        pagination={{ pageSize: 50, hideOnSinglePage: true }}
        locale={{ emptyText: loading ? ' ' : <p className="empty">{t('notices.none')}</p> }}
      />
    </div>
  );
}
