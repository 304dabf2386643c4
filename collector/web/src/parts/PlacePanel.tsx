import { useCallback } from 'react';
import { Link } from 'wouter';
import { api, type Ticket } from '../api';
import { useI18n } from '../i18n';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { agentState, isAlertmanager } from '../model/fleet';
import { Facts, Panel } from './Facts';
import { AgentMark } from './FleetMarks';
import { Age } from './Moment';

const concernsAgents = (topic: Topic) => topic.event === 'agent';

/** Where the fault is: the device, its place, and whether its agent can still be heard. */
export function PlacePanel({ ticket }: { ticket: Ticket }) {
  const { t } = useI18n();
  const { agent: agentId, device } = ticket;
  const load = useCallback(
    async (signal: AbortSignal) => {
      // What the collector finds with itself is no agent's.
      if (agentId === '' || isAlertmanager(agentId)) return undefined;
      const [page, devices] = await Promise.all([api.agent(agentId, signal), api.devices(agentId, signal)]);
      return { agent: page.agent, device: devices.find((d) => d.agent === agentId && d.id === device.id) };
    },
    [agentId, device.id],
  );
  const { data } = useFetched(load, concernsAgents);
  const known = data?.device;
  const model = [known?.vendor, known?.model].filter(Boolean).join(' ');
  return (
    <Panel title={t('ticket.place')}>
      <Facts
        items={[
          [t('ticket.device'), device.name || device.id],
          [t('ticket.resource'), ticket.resource],
          [t('ticket.serial'), known?.serial && <code>{known.serial}</code>],
          ...(known?.serial === device.id ? [] : [[t('ticket.device-id'), device.id] as const]),
          [t('ticket.model'), model],
          [t('ticket.firmware'), known?.firmware],
          [t('ticket.site'), ticket.site],
          [t('ticket.customer'), ticket.customer],
          [t('ticket.contract'), ticket.contract],
          [
            t('ticket.agent'),
            agentId === '' ? (
              t('ticket.by-collector')
            ) : isAlertmanager(agentId) ? (
              visible(agentId)
            ) : (
              <span key="agent" className="inline">
                <Link href={`/fleet/agents/${encodeURIComponent(agentId)}`}>{agentId}</Link>
                {data && <AgentMark state={agentState(data.agent)} />}
                {data && <Age at={data.agent.last_seen_at} />}
              </span>
            ),
          ],
        ]}
      />
    </Panel>
  );
}
