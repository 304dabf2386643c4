import { Alert, Button } from 'antd';
import { useCallback, useState } from 'react';
import { Link } from 'wouter';
import { api, ApiError, type TicketPage as Page } from '../api';
import { useI18n } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { errorText } from '../i18n/errors';
import { word } from '../i18n/words';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { AlarmTable } from '../parts/AlarmTable';
import { BundleList } from '../parts/BundleList';
import { CallPanel } from '../parts/CallPanel';
import { ArticlePanel } from '../parts/ArticlePanel';
import { ClockPanel } from '../parts/ClockPanel';
import { CommentForm } from '../parts/CommentForm';
import { ExplainPanel } from '../parts/ExplainPanel';
import { EvidenceBlock } from '../parts/EvidenceBlock';
import { Facts, Panel } from '../parts/Facts';
import { PriorityMark, SeverityMark, StateMark } from '../parts/Marks';
import { Age, Moment } from '../parts/Moment';
import { Loading, Trouble } from '../parts/Notice';
import { NoticePanel } from '../parts/NoticePanel';
import { PlacePanel } from '../parts/PlacePanel';
import { ServicePanel } from '../parts/ServicePanel';
import { TimelineList } from '../parts/TimelineList';
import { TransitionButtons } from '../parts/TransitionButtons';
import { useTitle } from '../title';

export default function TicketPage({ number }: { number: string }) {
  const { t } = useI18n();
  const load = useCallback((signal: AbortSignal) => api.ticket(number, signal), [number]);
  const wanted = useCallback(
    (topic: Topic) => topic.event === 'ticket' && (topic.number ?? number) === number,
    [number],
  );
  const { data, error, loading, reload } = useFetched(load, wanted);
  useTitle(number);
  return (
    <div className="page">
      <p className="crumb">
        <Link href="/tickets">{t('ticket.back')}</Link>
        <span aria-hidden="true">{' / '}</span>
        {number}
      </p>
      {error !== null && <Failure error={error} number={number} reload={reload} />}
      {loading && <Loading />}
      {data && <Content page={data} reload={reload} />}
    </div>
  );
}

function Failure({ error, number, reload }: { error: unknown; number: string; reload(): void }) {
  const { t } = useI18n();
  const missing = error instanceof ApiError && error.status === 404;
  return missing ? (
    <Trouble text={t('ticket.missing', { number })} />
  ) : (
    <Trouble text={errorText(error, t)} onRetry={reload} />
  );
}

function Content({ page, reload }: { page: Page; reload(): void }) {
  const { t } = useI18n();
  const { ticket, alarms, evidence, bundles, timeline } = page;
  return (
    <>
      <Head page={page} reload={reload} />
      {ticket.test && <Alert type="info" showIcon title={t('ticket.test-note')} />}
      <div className="columns">
        <div className="wide">
          <Panel title={t('ticket.evidence')}>
            <EvidenceList evidence={evidence} />
          </Panel>
          {bundles.length > 0 && (
            <Panel title={t('bundle.title')} hint={t('bundle.hint')}>
              <BundleList bundles={bundles} />
            </Panel>
          )}
          <Panel title={t('ticket.alarms')}>
            {alarms.length === 0 ? (
              <p className="empty">{t('ticket.no-alarms')}</p>
            ) : (
              <AlarmTable alarms={alarms} />
            )}
          </Panel>
          <Panel title={t('ticket.timeline')}>
            <TimelineList entries={timeline} />
            <CommentForm number={ticket.number} onAdded={reload} />
          </Panel>
        </div>
        <div className="narrow">
          <CallPanel ticket={ticket} onChanged={reload} />
          <ClockPanel ticket={ticket} onChanged={reload} />
          <TicketFacts page={page} />
          <ExplainPanel number={ticket.number} />
          <ServicePanel page={page} onChanged={reload} />
          <ArticlePanel ticket={ticket} onChanged={reload} />
          <PlacePanel ticket={ticket} />
          <NoticePanel number={ticket.number} />
        </div>
      </div>
    </>
  );
}

/** What a ticket shows at once: a fault that came back often has one piece for each time. */
const EVIDENCE_SHOWN = 5;

function EvidenceList({ evidence }: { evidence: Page['evidence'] }) {
  const { t } = useI18n();
  const [all, setAll] = useState(false);
  if (evidence.length === 0) return <p className="empty">{t('ticket.no-evidence')}</p>;
  return (
    <>
      {evidence.slice(0, all ? undefined : EVIDENCE_SHOWN).map((e, i) => (
        <EvidenceBlock key={`${e.alarm_id} ${e.at} ${i}`} evidence={e} />
      ))}
      {!all && evidence.length > EVIDENCE_SHOWN && (
        <Button onClick={() => setAll(true)}>{t('evidence.all', { n: evidence.length })}</Button>
      )}
    </>
  );
}

function Head({ page, reload }: { page: Page; reload(): void }) {
  const { t, language } = useI18n();
  const { ticket } = page;
  const title = messageText(ticket.title, ticket.text, language);
  return (
    <header className={`ticket-head ${ticket.severity}`}>
      <div className="grow">
        <h1>
          <span className="number" data-number={ticket.number}>
            {ticket.number}
          </span>{' '}
          {title}
        </h1>
        <div className="marks">
          <SeverityMark severity={ticket.severity} />
          <PriorityMark priority={ticket.priority} />
          <StateMark state={ticket.state} />
          <span className={`mark ${ticket.condition_cleared_at === null ? 'active' : 'cleared'}`}>
            {ticket.condition_cleared_at === null ? t('ticket.cleared-not') : t('ticket.cleared')}
          </span>
          <span className="hint">
            {t('ticket.opened')} <Age at={ticket.opened_at} />
          </span>
        </div>
        {ticket.text !== '' && ticket.text !== title && (
          <p className="words">
            <span className="hint">{t('ticket.words')}</span> <q>{ticket.text}</q>
          </p>
        )}
      </div>
      <TransitionButtons
        ticket={ticket}
        allowed={page.allowed}
        commentRequired={page.comment_required}
        decisions={page.decisions}
        onChanged={reload}
      />
    </header>
  );
}

function TicketFacts({ page: { ticket } }: { page: Page }) {
  const { t, language } = useI18n();
  return (
    <Panel title={t('ticket.facts')}>
      {ticket.proposed_repair !== null && ticket.proposed_repair !== '' && (
        <div className="repair">
          <strong>{t('ticket.repair')}</strong>
          <p>{ticket.proposed_repair}</p>
        </div>
      )}
      <Facts
        items={[
          [t('ticket.fault-code'), ticket.fault_code && <code>{ticket.fault_code}</code>],
          [t('ticket.type'), <TypeName key="type" type={ticket.type} text={word('type', ticket.type, language)} />],
          [t('ticket.assignee'), ticket.assignee ?? t('ticket.unassigned')],
          [t('ticket.opened'), <Moment key="opened" at={ticket.opened_at} />],
          [t('ticket.updated'), <Moment key="updated" at={ticket.updated_at} />],
          [t('ticket.recurrences'), ticket.recurrences],
          [t('ticket.cleared'), <Moment key="cleared" at={ticket.condition_cleared_at} />],
          [t('ticket.resolved'), <Moment key="resolved" at={ticket.resolved_at} />],
          [t('ticket.closed'), <Moment key="closed" at={ticket.closed_at} />],
        ]}
      />
    </Panel>
  );
}

function TypeName({ type, text }: { type: string; text: string }) {
  return text === type ? (
    <code>{type}</code>
  ) : (
    <>
      {text} <code className="hint">{type}</code>
    </>
  );
}
