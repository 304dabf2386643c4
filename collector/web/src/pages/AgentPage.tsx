import { useCallback } from 'react';
import { Link } from 'wouter';
import { api, ApiError, type Agent, type AgentPage as Page, type Held } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { agentState } from '../model/fleet';
import { BalanceTable, LaneTable, LossTable, RejectTable, StreamTable } from '../parts/AgentDetail';
import { AlarmTable } from '../parts/AlarmTable';
import { UploadList } from '../parts/BundleList';
import { Facts, Panel } from '../parts/Facts';
import { AgentMark, CertificateText, OutboxText } from '../parts/FleetMarks';
import { Age, Moment } from '../parts/Moment';
import { Loading, Trouble } from '../parts/Notice';
import { PathTable } from '../parts/PathTable';
import { ResyncTable } from '../parts/ResyncTable';
import { SourceTable } from '../parts/SourceTable';
import { duration } from '../time';
import { useTitle } from '../title';

/** One agent: its state, its sources, and whatever was lost or refused. */
export default function AgentPage({ id }: { id: string }) {
  const { t } = useI18n();
  const load = useCallback(
    async (signal: AbortSignal) => {
      const [page, alarms, paths, resyncs] = await Promise.all([
        api.agent(id, signal),
        api.agentAlarms(id, signal),
        api.agentPaths(id, signal),
        api.agentResyncs(id, signal),
      ]);
      return { page, alarms: alarms.items, paths: paths.paths, pathsLeftOut: paths.left_out, resyncs };
    },
    [id],
  );
  const wanted = useCallback(
    (topic: Topic) => topic.event === 'alarm' || (topic.event === 'agent' && (topic.id ?? id) === id),
    [id],
  );
  const { data, error, loading, reload } = useFetched(load, wanted);
  useTitle(id);
  const missing = error instanceof ApiError && error.status === 404;
  return (
    <div className="page">
      <p className="crumb">
        <Link href="/fleet">{t('agent.back')}</Link>
        <span aria-hidden="true">{' / '}</span>
        {id}
      </p>
      {missing && <Trouble text={t('agent.missing', { id })} />}
      {error !== null && !missing && <Trouble text={errorText(error, t)} onRetry={reload} />}
      {loading && <Loading />}
      {data && (
        <>
          <div className="page-head">
            <h1>{id}</h1>
            <AgentMark state={agentState(data.page.agent)} />
          </div>
          <div className="columns">
            <div className="wide">
              <Panel title={t('agent.sources')}>
                <SourceTable sources={data.page.agent.heartbeat?.sources ?? []} />
                {(data.page.agent.heartbeat?.sources_left_out ?? 0) > 0 && (
                  <p className="warn">
                    {t('readout.left-out', { n: data.page.agent.heartbeat?.sources_left_out ?? 0 })}
                  </p>
                )}
              </Panel>
              <Panel title={t('agent.paths')} hint={t('agent.paths-hint')}>
                {data.paths.length === 0 ? (
                  <p className="empty">{t('agent.no-paths')}</p>
                ) : (
                  <PathTable paths={data.paths} />
                )}
                {data.pathsLeftOut > 0 && (
                  <p className="warn">{t('agent.paths-left-out', { n: data.pathsLeftOut })}</p>
                )}
              </Panel>
              <Panel title={t('agent.alarms')}>
                {data.alarms.length === 0 ? (
                  <p className="empty">{t('agent.no-alarms')}</p>
                ) : (
                  <AlarmTable alarms={data.alarms} withTicket />
                )}
              </Panel>
              <Delivery page={data.page} />
              <Panel title={t('resync.title')} hint={t('resync.hint')}>
                {data.resyncs.length === 0 ? (
                  <p className="empty">{t('resync.none')}</p>
                ) : (
                  <ResyncTable resyncs={data.resyncs} />
                )}
              </Panel>
            </div>
            <div className="narrow">
              <AgentFacts agent={data.page.agent} />
            </div>
          </div>
        </>
      )}
    </div>
  );
}

function Delivery({ page }: { page: Page }) {
  const { t } = useI18n();
  return (
    <>
      {page.bundles.length > 0 && (
        <Panel title={t('bundle.uploads')}>
          <UploadList bundles={page.bundles} />
        </Panel>
      )}
      <Panel title={t('agent.losses')} hint={t('agent.losses-hint')}>
        {page.losses.length === 0 ? (
          <p className="empty">{t('agent.no-losses')}</p>
        ) : (
          <LossTable losses={page.losses} />
        )}
      </Panel>
      <Panel title={t('agent.rejects')} hint={t('agent.rejects-hint')}>
        {page.rejects.length === 0 ? (
          <p className="empty">{t('agent.no-rejects')}</p>
        ) : (
          <RejectTable rejects={page.rejects} />
        )}
      </Panel>
      {page.agent.heartbeat?.lanes && (
        <Panel title={t('agent.lanes')}>
          <LaneTable lanes={page.agent.heartbeat.lanes} />
        </Panel>
      )}
      {page.balance.length > 0 && (
        <Panel title={t('balance.title')} hint={t('balance.hint')}>
          <BalanceTable balance={page.balance} />
        </Panel>
      )}
      <Panel title={t('agent.streams')}>
        {page.streams.length === 0 ? (
          <p className="empty">{t('agent.no-streams')}</p>
        ) : (
          <StreamTable streams={page.streams} />
        )}
      </Panel>
    </>
  );
}

function HeldText({ held }: { held: Held | undefined }) {
  const { t } = useI18n();
  if (held === undefined) return <>{t('agent.held-none')}</>;
  return (
    <>
      <div>{t('agent.held-counts', { maintenance: held.maintenance, parent: held.parent })}</div>
      {held.windows.map((window) => (
        <div key={window.id}>
          {t('agent.held-window', {
            id: window.id,
            scope: [...window.devices, ...window.sites].join(', ') || t('agent.held-everything'),
            reason: window.reason,
            by: window.by,
          })}{' '}
          <Moment at={window.until} />
        </div>
      ))}
    </>
  );
}

function AgentFacts({ agent }: { agent: Agent }) {
  const { t, language } = useI18n();
  const beat = agent.heartbeat;
  return (
    <Panel title={t('agent.facts')}>
      {beat === null && <p className="hint">{t('agent.no-heartbeat')}</p>}
      <Facts
        items={[
          [t('fleet.state'), <AgentMark key="state" state={agentState(agent)} />],
          [t('fleet.last-seen'), <Age key="seen" at={agent.last_seen_at} />],
          [t('ticket.site'), agent.site],
          [t('ticket.customer'), agent.customer],
          [t('fleet.version'), agent.version],
          [t('agent.uptime'), beat?.uptime_s === undefined ? null : duration(beat.uptime_s, language)],
          [t('fleet.alarms'), agent.active_alarms],
          [t('fleet.outbox'), <OutboxText key="outbox" heartbeat={beat} />],
          [t('agent.last-ack'), <Moment key="ack" at={beat?.last_ack_at} />],
          [t('agent.held'), <HeldText key="held" held={beat?.held} />],
          [t('agent.road'), beat?.road],
          [t('agent.heartbeat-at'), <Moment key="beat" at={beat?.at} />],
          [t('fleet.certificate'), <CertificateText key="cert" notAfter={agent.certificate_not_after} />],
        ]}
      />
    </Panel>
  );
}
