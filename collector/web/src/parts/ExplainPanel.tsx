import { useCallback } from 'react';
import { Link } from 'wouter';
import { api, type Consequence, type Explanation, type FleetProblem } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { word } from '../i18n/words';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { Facts, Panel } from './Facts';
import { SeverityMark } from './Marks';
import { Trouble } from './Notice';

/** Why there is this ticket, and what follows from its fault. */
export function ExplainPanel({ number }: { number: string }) {
  const { t } = useI18n();
  const load = useCallback((signal: AbortSignal) => api.explain(number, signal), [number]);
  const wanted = useCallback(
    (topic: Topic) => topic.event === 'ticket' && (topic.number ?? number) === number,
    [number],
  );
  const { data, error, reload } = useFetched(load, wanted);
  return (
    <Panel title={t('explain.title')} hint={t('explain.hint')}>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      {data && <Why why={data} />}
    </Panel>
  );
}

function Why({ why }: { why: Explanation }) {
  const { t } = useI18n();
  const waited = why.waited_ms === null ? null : `${Math.round(why.waited_ms / 1000)} s`;
  return (
    <>
      <p>{named('reason', why.reason, t)}</p>
      <Facts
        items={[
          [t('explain.rule'), why.rule === null ? t('explain.no-rule') : visible(why.rule)],
          [
            t('explain.waited'),
            waited &&
              t(why.waited_for === 'cause' ? 'explain.waited-cause' : 'explain.waited-hold-down', {
                time: waited,
              }),
          ],
          [t('explain.lives'), why.lives],
          [t('explain.transients'), why.transients === 0 ? null : why.transients],
          [t('explain.flapping'), why.flapping ? t('explain.flapping-yes') : null],
          [t('explain.fleet'), why.fleet && <FleetLine key="fleet" fleet={why.fleet} />],
          [
            t('service.merged-into'),
            why.merged_into && <Link key="into" href={`/tickets/${why.merged_into}`}>{why.merged_into}</Link>,
          ],
          [
            t('explain.consequences'),
            why.consequence_count === 0
              ? null
              : t('explain.count', { n: why.consequence_count, active: why.consequences_active }),
          ],
        ]}
      />
      {why.consequences.length > 0 && (
        <ul className="consequences">
          {why.consequences.map((one) => (
            <Line key={one.alarm_id} one={one} />
          ))}
        </ul>
      )}
      {why.consequence_count > why.consequences.length && (
        <p className="hint">
          {t('explain.more', { n: why.consequences.length, all: why.consequence_count })}
        </p>
      )}
    </>
  );
}

function FleetLine({ fleet }: { fleet: FleetProblem }) {
  const { t } = useI18n();
  return (
    <>
      {t('explain.fleet-sites', { sites: fleet.sites, model: visible(fleet.model) })}
      {fleet.others.map((number) => (
        <span key={number}>
          {' '}
          <Link href={`/tickets/${number}`}>{number}</Link>
        </span>
      ))}
    </>
  );
}

function Line({ one }: { one: Consequence }) {
  const { t, language } = useI18n();
  const path = one.path.map(visible).join(' › ');
  return (
    <li className={one.active ? 'active' : 'cleared'}>
      <SeverityMark severity={one.severity} /> {visible(one.device)} {visible(one.resource)}{' '}
      {word('type', one.type, language)}
      {path !== '' && <div className="hint">{because(one.relation, path, t)}</div>}
    </li>
  );
}

function because(relation: string | null, path: string, t: ReturnType<typeof useI18n>['t']): string {
  switch (relation) {
    case 'powered-by':
      return t('explain.by-powered-by', { path });
    case 'hangs-on':
      return t('explain.by-hangs-on', { path });
    default:
      return t('explain.by-parent', { path });
  }
}
