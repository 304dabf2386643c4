import { Button, Input, Table } from 'antd';
import { useCallback, useState } from 'react';
import { Link } from 'wouter';
import { api, type Article } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { useFetched } from '../live/fetched';
import { mayDecide, mayWork } from '../model/desk';
import { visible } from '../model/evidence';
import { ArticleDialogue } from '../parts/ArticleDialogue';
import { Moment } from '../parts/Moment';
import { Trouble } from '../parts/Notice';
import { useSession } from '../session';
import { useTitle } from '../title';

const never = () => false;

/** What solved faults taught. */
export default function KnowledgePage() {
  const { t } = useI18n();
  const { phase } = useSession();
  useTitle(t('nav.knowledge'));
  const [q, setQ] = useState('');
  const [trail, setTrail] = useState<readonly string[]>(['']);
  const [open, setOpen] = useState<Article | 'new' | null>(null);
  const after = trail.at(-1) ?? '';
  const load = useCallback((signal: AbortSignal) => api.articles(q, after, signal), [q, after]);
  const { data, error, loading, reload } = useFetched(load, never);
  const works = phase.at === 'in' && mayWork(phase.user);
  const ask = (text: string) => {
    setTrail(['']);
    setQ(text.trim());
  };
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('nav.knowledge')}</h1>
        <span className="hint">{t('article.hint')}</span>
      </div>
      <div className="filters" role="search">
        <Input.Search allowClear name="q" aria-label={t('masters.search')} placeholder={t('masters.search')} maxLength={200} style={{ width: 320 }} onSearch={ask} />
        <span className="grow" />
        {works && (
          <Button type="primary" data-action="add" onClick={() => setOpen('new')}>
            {t('article.new')}
          </Button>
        )}
      </div>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      <Table<Article>
        size="small"
        rowKey="id"
        dataSource={data?.items ?? []}
        loading={loading && error === null}
        pagination={false}
        scroll={{ x: 760 }}
        locale={{ emptyText: <p className="empty">{t('article.empty')}</p> }}
        columns={[
          {
            title: t('article.code'),
            render: (_, row) => (
              <Button type="link" size="small" data-article={row.id} onClick={() => setOpen(row)}>
                {visible(row.code)}
              </Button>
            ),
          },
          { title: t('article.title'), render: (_, row) => visible(row.title) },
          { title: t('article.fix'), ellipsis: true, render: (_, row) => visible(row.fix) },
          { title: t('article.from'), render: (_, row) => (row.ticket === null ? '' : <Link href={`/tickets/${row.ticket}`}>{row.ticket}</Link>) },
          { title: t('article.changed'), render: (_, row) => <Moment at={row.updated_at} /> },
        ]}
      />
      <div className="page-foot">
        <span className="grow" />
        <Button size="small" disabled={trail.length < 2} onClick={() => setTrail(trail.slice(0, -1))}>
          {t('queue.newer')}
        </Button>
        <Button size="small" disabled={!data?.next} onClick={() => setTrail([...trail, data?.next ?? ''])}>
          {t('masters.more')}
        </Button>
      </div>
      {open !== null && (
        <ArticleDialogue
          article={open === 'new' ? null : open}
          mayWrite={works}
          mayRemove={phase.at === 'in' && mayDecide(phase.user)}
          onSaved={reload}
          onClose={() => setOpen(null)}
        />
      )}
    </div>
  );
}
