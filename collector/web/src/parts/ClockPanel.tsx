import { Button } from 'antd';
import { useCallback, useState } from 'react';
import { api, type Clock, type ClockLine, type Ticket, type TicketClocks } from '../api';
import { useNow } from '../clock';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { inOrder, span, urgency } from '../model/clocks';
import { mayDecide } from '../model/desk';
import { PauseDialogue, PlanChange } from './ClockDialogues';
import { Countdown } from './Countdown';
import { Panel } from './Facts';
import { Moment } from './Moment';
import { Trouble } from './Notice';
import { useSession } from '../session';

/** What is promised of a ticket, how much of it is left, and why. */
export function ClockPanel({ ticket, onChanged }: { ticket: Ticket; onChanged(): void }) {
  const { t, language } = useI18n();
  const { phase } = useSession();
  const { number } = ticket;
  const [pausing, setPausing] = useState<string | null>(null);
  const load = useCallback((signal: AbortSignal) => api.clocks(number, signal), [number]);
  const wanted = useCallback(
    (topic: Topic) => topic.event === 'ticket' && (topic.number ?? number) === number,
    [number],
  );
  const { data, error, reload } = useFetched(load, wanted);
  const [failure, setFailure] = useState<unknown>(null);
  const move = async (clock: string, deed: 'start' | 'stop' | 'pause' | 'resume', reason = '') => {
    try {
      await api.moveClock(number, clock, deed, reason);
      setFailure(null);
    } catch (problem) {
      setFailure(problem);
    }
    reload();
  };
  const trouble = failure ?? error;
  return (
    <Panel title={t('clock.title')}>
      {trouble !== null && <Trouble text={errorText(trouble, t)} onRetry={reload} />}
      {data && data.plan === null && <p className="empty">{t('clock.none')}</p>}
      {data && data.plan !== null && (
        <>
          <p className="hint">
            {t('clock.plan', { title: data.title?.[language] ?? data.plan, version: data.plan_version ?? 0 })}
            {' · '}
            {t('clock.place', { zone: data.time_zone ?? '' })}
          </p>
          <ul className="clocks">
            {inOrder(data.clocks).map((clock) => (
              <Line
                key={clock.name}
                clock={clock}
                onStop={() => void move(clock.name, 'stop')}
                onPause={() => setPausing(clock.name)}
                onResume={() => void move(clock.name, 'resume')}
              />
            ))}
          </ul>
          <Startable data={data} onStart={(name) => void move(name, 'start')} />
        </>
      )}
      {phase.at === 'in' && mayDecide(phase.user) && ticket.closed_at === null && (
        <PlanChange
          ticket={ticket}
          onChanged={() => {
            reload();
            onChanged();
          }}
        />
      )}
      {pausing !== null && (
        <PauseDialogue
          clock={named('clock', pausing, t)}
          onPause={(reason) => {
            setPausing(null);
            void move(pausing, 'pause', reason);
          }}
          onClose={() => setPausing(null)}
        />
      )}
    </Panel>
  );
}

function Startable({ data, onStart }: { data: TicketClocks; onStart(name: string): void }) {
  const { t } = useI18n();
  return (
    <div className="actions">
      {data.startable.map((name) => (
        <Button key={name} size="small" onClick={() => onStart(name)}>
          {t('clock.start', { clock: named('clock', name, t) })}
        </Button>
      ))}
    </div>
  );
}

interface LineProps {
  clock: Clock;
  onStop(): void;
  onPause(): void;
  onResume(): void;
}

function Line({ clock, onStop, onPause, onResume }: LineProps) {
  const { t, language } = useI18n();
  const now = useNow();
  const [open, setOpen] = useState(false);
  const name = clock.title?.[language] ?? named('clock', clock.name, t);
  const going = clock.state === 'running' || clock.state === 'paused';
  return (
    <li className={`clock ${urgency(clock, now)}`} data-clock={clock.name} data-state={clock.state}>
      <div className="inline">
        <strong>{name}</strong>
        <Standing clock={clock} />
      </div>
      <p className="hint">
        {clock.budget_ms === null
          ? t('clock.no-end')
          : t('clock.used', {
              used: span(clock.elapsed_ms, t),
              budget: span(clock.budget_ms, t),
              hours: clock.hours,
            })}
      </p>
      <div className="actions">
        <Button size="small" type="link" onClick={() => setOpen(!open)}>
          {t(open ? 'clock.explain-hide' : 'clock.explain')}
        </Button>
        {going && (
          <Button size="small" onClick={onStop}>
            {t('clock.stop')}
          </Button>
        )}
        {clock.state === 'running' && (
          <Button size="small" type="text" data-action="pause" onClick={onPause}>
            {t('clock.pause')}
          </Button>
        )}
        {clock.state === 'paused' && (
          <Button size="small" type="text" data-action="resume" onClick={onResume}>
            {t('clock.resume')}
          </Button>
        )}
      </div>
      {open && <Explanation clock={clock} />}
    </li>
  );
}

function Standing({ clock }: { clock: Clock }) {
  const { t } = useI18n();
  if (clock.state === 'dropped') return <span className="mark kind">{t('clock.dropped')}</span>;
  if (clock.state === 'stopped') {
    return (
      <>
        <span className={`mark ${clock.kept ? 'cleared' : 'active'}`}>
          {t(clock.kept ? 'clock.kept' : 'clock.missed')}
        </span>
        <span className="hint">
          {t('clock.done-at')} <Moment at={clock.stopped_at} />
        </span>
      </>
    );
  }
  if (clock.state === 'paused') {
    const why = clock.explain.at(-1)?.note ?? '';
    return <span className="mark kind">{t('clock.rests', { why: named('state', why, t) })}</span>;
  }
  return clock.due_at === null ? null : <Countdown at={clock.due_at} />;
}

function Explanation({ clock }: { clock: Clock }) {
  const { t } = useI18n();
  return (
    <>
      {clock.explain_left_out > 0 && (
        <p className="hint">{t('clock.left-out', { n: clock.explain_left_out })}</p>
      )}
      <table className="explain">
        <thead>
          <tr>
            <th>{t('clock.from')}</th>
            <th>{t('clock.to')}</th>
            <th>{t('clock.because')}</th>
            <th>{t('clock.counted')}</th>
            <th>{t('clock.sum')}</th>
          </tr>
        </thead>
        <tbody>
          {clock.explain.map((line) => (
            <tr key={line.from} className={line.counted_ms > 0 ? 'counts' : 'rests'}>
              <td>
                <Moment at={line.from} />
              </td>
              <td>
                <Moment at={line.to} />
              </td>
              <td>
                <Because line={line} />
              </td>
              <td>{line.counted_ms > 0 ? span(line.counted_ms, t) : t('app.none')}</td>
              <td>{span(line.elapsed_ms, t)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function Because({ line }: { line: ClockLine }) {
  const { t } = useI18n();
  const state = line.because === 'paused' || line.because === 'done';
  const note = state ? named('state', line.note, t) : line.note;
  return (
    <>
      {named('because', line.because, t)}
      {note !== '' && <span className="hint"> {note}</span>} <span className="hint">{line.priority.toUpperCase()}</span>
    </>
  );
}
