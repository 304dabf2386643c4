import { App, Button } from 'antd';
import { useCallback, useState } from 'react';
import { api, type Call, type Ticket } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { openCall } from '../model/duty';
import { useSession } from '../session';
import { Panel } from './Facts';
import { Moment } from './Moment';

interface Props {
  ticket: Ticket;
  onChanged(): void;
}

/** Who was called for a ticket; one click answers. */
export function CallPanel({ ticket, onChanged }: Props) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const { phase } = useSession();
  const [busy, setBusy] = useState(false);
  const { number } = ticket;
  const load = useCallback((signal: AbortSignal) => api.calls(number, signal), [number]);
  const concerns = useCallback((topic: Topic) => topic.event === 'ticket', []);
  const { data, reload } = useFetched(load, concerns);
  const calls = data?.items ?? [];
  const waits = openCall(calls);
  const mine = phase.at === 'in' && ticket.state === 'recorded' && ticket.assignee === phase.user.name;
  if (calls.length === 0 && !mine) return null;
  const answer = async (take: boolean) => {
    setBusy(true);
    try {
      await api.acknowledge(number, take);
      onChanged();
      reload();
    } catch (error) {
      void message.error(errorText(error, t));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel title={t('duty.calls')}>
      {(waits !== null || mine) && (
        <div className="inline">
          <Button type="primary" size="small" data-action="take" disabled={busy} onClick={() => void answer(true)}>
            {t('duty.take')}
          </Button>
          {waits !== null && (
            <Button size="small" data-action="know" disabled={busy} onClick={() => void answer(false)}>
              {t('duty.know')}
            </Button>
          )}
        </div>
      )}
      <ul className="plain">
        {calls.map((call) => (
          <li key={call.id} data-call={call.ended ?? 'open'}>
            <CallLine call={call} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function CallLine({ call }: { call: Call }) {
  const { t } = useI18n();
  return (
    <>
      {call.person} · {named('level', call.level, t)} · {named('step', call.step, t)} · <Moment at={call.called_at} /> ·{' '}
      <span className={call.ended === 'expired' ? 'warn' : 'hint'}>
        {call.ended === null ? t('duty.open') : named('call', call.ended, t)}
      </span>
    </>
  );
}
