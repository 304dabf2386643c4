import { App, Button } from 'antd';
import { useCallback, useState } from 'react';
import { api, type Article, type Ticket } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { useFetched } from '../live/fetched';
import { mayDecide, mayWork } from '../model/desk';
import { visible } from '../model/evidence';
import { useSession } from '../session';
import { ArticleDialogue } from './ArticleDialogue';
import { Panel } from './Facts';
import { Trouble } from './Notice';

const never = () => false;

/** What is known about a ticket's fault; from a closed one an article is written in one step. */
export function ArticlePanel({ ticket, onChanged }: { ticket: Ticket; onChanged(): void }) {
  const { t } = useI18n();
  const { phase } = useSession();
  const { message } = App.useApp();
  const load = useCallback((signal: AbortSignal) => api.offered(ticket.number, signal), [ticket.number]);
  const { data, error, reload } = useFetched(load, never);
  const [open, setOpen] = useState<Article | 'new' | null>(null);
  const works = phase.at === 'in' && mayWork(phase.user);
  const draw = async () => {
    try {
      setOpen(await api.articleFrom(ticket.number));
      reload();
      onChanged();
    } catch (problem) {
      void message.error(errorText(problem, t), 8);
    }
  };
  if (error !== null) return <Trouble text={errorText(error, t)} onRetry={reload} />;
  if (!data) return null;
  const { code, own, similar } = data;
  return (
    <Panel title={t('article.panel')}>
      {own === null && (
        <p className="hint">{code === null ? t('article.no-code') : t('article.none', { code: visible(code) })}</p>
      )}
      {own !== null && (
        <div data-article={own.id}>
          <Button type="link" size="small" onClick={() => setOpen(own)}>
            {visible(own.title)}
          </Button>
          {(['cause', 'fix'] as const).map((name) =>
            own[name] === '' ? null : (
              <p key={name}>
                <strong>{t(`article.${name}`)}</strong> <span className="lines">{visible(own[name])}</span>
              </p>
            ),
          )}
        </div>
      )}
      {similar.length > 0 && (
        <>
          <p className="hint">{t('article.similar')}</p>
          <ul>
            {similar.map((article) => (
              <li key={article.id}>
                <Button type="link" size="small" onClick={() => setOpen(article)}>
                  {visible(article.code)} {visible(article.title)}
                </Button>
              </li>
            ))}
          </ul>
        </>
      )}
      {works && own === null && (
        <div className="actions">
          {ticket.closing !== null && code !== null && (
            <Button size="small" type="primary" data-action="draw-article" onClick={() => void draw()}>
              {t('article.draw')}
            </Button>
          )}
          <Button size="small" onClick={() => setOpen('new')}>
            {t('article.new')}
          </Button>
        </div>
      )}
      {open !== null && (
        <ArticleDialogue
          article={open === 'new' ? null : open}
          code={code ?? ''}
          mayWrite={works}
          mayRemove={phase.at === 'in' && mayDecide(phase.user)}
          onSaved={reload}
          onClose={() => setOpen(null)}
        />
      )}
    </Panel>
  );
}
