import { useCallback } from 'react';
import { Link } from 'wouter';
import { api, ApiError, type DevicePage as Page } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { AlarmTable } from '../parts/AlarmTable';
import { Facts, Panel } from '../parts/Facts';
import { ChangeTable, ModuleTable } from '../parts/ModuleTable';
import { Age, Moment } from '../parts/Moment';
import { Loading, Trouble } from '../parts/Notice';
import { SourceTable } from '../parts/SourceTable';
import { useTitle } from '../title';

/** One device: what it is, how it is read, what it is made of and what changed of that. */
export default function DevicePage({ agent, id }: { agent: string; id: string }) {
  const { t } = useI18n();
  const load = useCallback(
    async (signal: AbortSignal) => {
      const [page, alarms] = await Promise.all([
        api.device(agent, id, signal),
        api.deviceAlarms(agent, id, signal),
      ]);
      return { page, alarms: alarms.items };
    },
    [agent, id],
  );
  const wanted = useCallback(
    (topic: Topic) => topic.event === 'alarm' || (topic.event === 'agent' && (topic.id ?? agent) === agent),
    [agent],
  );
  const { data, error, loading, reload } = useFetched(load, wanted);
  const name = data?.page.device.name || id;
  useTitle(name);
  const missing = error instanceof ApiError && error.status === 404;
  return (
    <div className="page">
      <p className="crumb">
        <Link href="/fleet/devices">{t('fleet.devices')}</Link>
        <span aria-hidden="true">{' / '}</span>
        {visible(name)}
      </p>
      {missing && <Trouble text={t('device.missing', { id })} />}
      {error !== null && !missing && <Trouble text={errorText(error, t)} onRetry={reload} />}
      {loading && <Loading />}
      {data && (
        <>
          <div className="page-head">
            <h1>{visible(name)}</h1>
          </div>
          <div className="columns">
            <div className="wide">
              <Panel title={t('device.sources')}>
                {data.page.sources.length === 0 ? (
                  <p className="empty">{t('device.no-sources')}</p>
                ) : (
                  <SourceTable sources={data.page.sources} open />
                )}
                {data.page.sources_left_out > 0 && (
                  <p className="warn">{t('readout.left-out', { n: data.page.sources_left_out })}</p>
                )}
              </Panel>
              <Panel title={t('agent.alarms')}>
                {data.alarms.length === 0 ? (
                  <p className="empty">{t('agent.no-alarms')}</p>
                ) : (
                  <AlarmTable alarms={data.alarms} withTicket />
                )}
              </Panel>
              <Modules page={data.page} />
            </div>
            <div className="narrow">
              <DeviceFacts page={data.page} />
            </div>
          </div>
        </>
      )}
    </div>
  );
}

function Modules({ page }: { page: Page }) {
  const { t } = useI18n();
  const leftOut = page.inventory?.left_out ?? 0;
  return (
    <>
      <Panel title={t('device.modules')} hint={t('device.modules-hint')}>
        {page.modules === null ? (
          <p className="empty">{t('device.no-modules')}</p>
        ) : (
          <ModuleTable modules={page.modules} />
        )}
        {leftOut > 0 && <p className="warn">{t('device.left-out', { n: leftOut })}</p>}
      </Panel>
      <Panel title={t('device.changes')} hint={t('device.changes-hint')}>
        {page.changes.length === 0 ? (
          <p className="empty">{t('device.no-changes')}</p>
        ) : (
          <ChangeTable changes={page.changes} />
        )}
      </Panel>
    </>
  );
}

function DeviceFacts({ page }: { page: Page }) {
  const { t } = useI18n();
  const { device, inventory } = page;
  const agent = <Link href={`/fleet/agents/${encodeURIComponent(device.agent)}`}>{device.agent}</Link>;
  return (
    <Panel title={t('device.facts')}>
      {inventory === null && <p className="hint">{t('device.no-inventory')}</p>}
      <Facts
        items={[
          [t('fleet.serial'), device.serial && <code key="serial">{visible(device.serial)}</code>],
          [t('fleet.vendor-model'), [device.vendor, device.model].filter(Boolean).map((s) => visible(s ?? '')).join(' ')],
          [t('fleet.firmware'), device.firmware && visible(device.firmware)],
          [t('readout.sysobjectid'), inventory?.sysobjectid && <code key="oid">{visible(inventory.sysobjectid)}</code>],
          [t('readout.profiles'), (inventory?.profiles ?? []).map(visible).join(', ')],
          [t('device.read-by'), inventory && named('kind', inventory.read_by, t)],
          [t('device.told'), <Age key="told" at={inventory?.told_at ?? null} />],
          [t('device.changed'), <Moment key="changed" at={inventory?.changed_at} />],
          [t('ticket.site'), device.site],
          [t('ticket.customer'), device.customer],
          [t('fleet.contract'), device.contract],
          [t('fleet.agent'), agent],
          [t('fleet.alarms'), device.active_alarms],
        ]}
      />
    </Panel>
  );
}
