import { Alert, App, Button, Input } from 'antd';
import { useCallback, useState } from 'react';
import { Link } from 'wouter';
import { api, type MyEntry, type MyTicketPage as Page } from '../api';
import { useI18n, type Translate } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { Facts, Panel } from '../parts/Facts';
import { Moment } from '../parts/Moment';
import { Loading, Trouble } from '../parts/Notice';
import { useTitle } from '../title';

const never = () => false;

/** One of a customer's own tickets: what was said, and whether it is mended. */
export default function MyTicketPage({ number }: { number: string }) {
  const { t, language } = useI18n();
  useTitle(number);
  const load = useCallback((signal: AbortSignal) => api.myTicket(number, signal), [number]);
  const { data, error, reload } = useFetched(load, never);
  if (error !== null) return <Trouble text={errorText(error, t)} onRetry={reload} />;
  if (data === null) return <Loading />;
  const { ticket } = data;
  return (
    <div className="page">
      <div className="page-head">
        <h1>{ticket.number}</h1>
        <span>{visible(messageText(ticket.title, ticket.text, language))}</span>
        <span className="grow" />
        <Button size="small" onClick={reload} data-action="refresh">
          {t('mine.refresh')}
        </Button>
        <Link href="/mine">{t('mine.back')}</Link>
      </div>
      <Panel title={t('mine.ticket')}>
        <Facts
          items={[
            [t('mine.state'), <span key="state" data-state={ticket.state}>{named('state', ticket.state, t)}</span>],
            [t('mine.severity'), named('severity', ticket.severity, t)],
            [t('mine.device'), visible(ticket.device)],
            [t('mine.resource'), visible(ticket.resource)],
            [t('mine.opened'), <Moment key="at" at={ticket.opened_at} />],
            [t('mine.text'), visible(ticket.text)],
            ...(data.cause === null ? [] : [[t('mine.cause'), visible(data.cause)] as const]),
            ...(data.fix === null ? [] : [[t('mine.fix'), visible(data.fix)] as const]),
          ]}
        />
      </Panel>
      <Words page={data} onSaid={reload} />
      <Panel title={t('mine.timeline')}>
        {data.timeline.map((entry, n) => (
          <p key={n} data-what={entry.what}>
            <Moment at={entry.at} /> <strong>{t(byKey(entry.by))}</strong> {entryText(entry, t)}
          </p>
        ))}
      </Panel>
    </div>
  );
}

const byKey = (by: string) => {
  if (by === 'customer') return 'mine.by-customer' as const;
  return by === 'device' ? ('mine.by-device' as const) : ('mine.by-support' as const);
};

function entryText(entry: MyEntry, t: Translate): string {
  if (entry.what === 'comment') return visible(entry.text ?? '');
  if (entry.what === 'state') return named('state', entry.to ?? '', t);
  return named('happened', entry.what, t);
}

/** A comment, and the customer's word on whether the fault is mended. */
function Words({ page, onSaid }: { page: Page; onSaid(): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const { number, version } = page.ticket;
  const run = async (act: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await act();
      setText('');
    } catch (error) {
      void message.error(errorText(error, t));
    } finally {
      setBusy(false);
      onSaid();
    }
  };
  const words = text.trim();
  const need = (act: () => Promise<unknown>) => {
    if (words === '') void message.info(t('mine.say-what'));
    else void run(act);
  };
  return (
    <section className="panel comment-form">
      {page.may_confirm && <Alert type="info" title={t('mine.confirm-hint')} />}
      <Input.TextArea
        aria-label={t('mine.comment')}
        placeholder={t('mine.comment')}
        autoSize={{ minRows: 2, maxRows: 10 }}
        maxLength={4000}
        value={text}
        onChange={(e) => setText(e.target.value)}
      />
      <Button loading={busy} onClick={() => need(() => api.commentMine(number, words))} data-action="comment">
        {t('mine.send')}
      </Button>
      {page.may_confirm && (
        <>
          <Button
            type="primary"
            loading={busy}
            onClick={() => void run(() => api.confirmMine(number, version, true, words))}
            data-action="confirm"
          >
            {t('mine.fixed')}
          </Button>
          <Button
            danger
            loading={busy}
            onClick={() => need(() => api.confirmMine(number, version, false, words))}
            data-action="not-fixed"
          >
            {t('mine.not-fixed')}
          </Button>
        </>
      )}
    </section>
  );
}
