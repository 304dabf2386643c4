import { useEffect, useState, type ReactNode } from 'react';
import { api, type Agent, type DutyNow, type TicketList, type TicketSummary } from '../api';
import { useI18n } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useLiveState } from '../live';
import type { Topic } from '../live/connection';
import { useFetched } from '../live/fetched';
import { readFilter } from '../model/queue';
import { counts, running, silent } from '../model/wall';
import { Countdown } from '../parts/Countdown';
import { PriorityMark, StateMark } from '../parts/Marks';
import { Age } from '../parts/Moment';
import { Trouble } from '../parts/Notice';
import { useTitle } from '../title';

/** Open tickets that are counted: pages of 200. */
const PAGES = 5;
/** Rows of a list: what one screen shows. */
const ROWS = 10;
/** Shifts begin and end without an event. */
const DUTY_MS = 60_000;

const concernsTickets = (topic: Topic) => topic.event === 'ticket';
const concernsAgents = (topic: Topic) => topic.event === 'agent';
const never = () => false;
const plain = readFilter(new URLSearchParams('sort=left'));

const loadOpen = async (signal: AbortSignal): Promise<TicketList> => {
  const all: TicketList = { items: [], due: [], next: null };
  for (let page = 0; page < PAGES; page += 1) {
    const part = await api.tickets({ ...plain, limit: 200, before: all.next }, signal);
    all.items.push(...part.items);
    all.due.push(...part.due);
    all.next = part.next;
    if (part.next === null) break;
  }
  return all;
};
const loadLast = (signal: AbortSignal) =>
  api.tickets({ ...plain, state: 'all', sort: 'number', limit: ROWS }, signal);
const loadAgents = (signal: AbortSignal) => api.agents(signal);
const loadDuty = (signal: AbortSignal) => api.duty(signal);

/** The centre's big screen: nothing to click, everything by itself. */
export default function WallPage() {
  const { t } = useI18n();
  useTitle(t('wall.title'));
  const open = useFetched(loadOpen, concernsTickets);
  const last = useFetched(loadLast, concernsTickets);
  const agents = useFetched(loadAgents, concernsAgents);
  const duty = useFetched(loadDuty, never);
  const { reload } = duty;
  useEffect(() => {
    const timer = setInterval(reload, DUTY_MS);
    return () => clearInterval(timer);
  }, [reload]);
  const error = open.error ?? last.error ?? agents.error ?? duty.error;
  return (
    <main className="wall" id="content">
      <header>
        <h1>{t('wall.title')}</h1>
        <span className="grow" />
        <Live />
      </header>
      {error !== null && <Trouble text={errorText(error, t)} />}
      <Kept value={open.data}>{(list) => <Open list={list} />}</Kept>
      <Kept value={open.data}>{(list) => <Running list={list} />}</Kept>
      <Kept value={last.data}>{(list) => <Last items={list.items} />}</Kept>
      <Kept value={duty.data}>{(now) => <Duty now={now} />}</Kept>
      <Kept value={agents.data}>{(all) => <Silent all={all} />}</Kept>
    </main>
  );
}

/** What was known last stays on the screen while the collector is away; the error says that it is old. */
function Kept<T>({ value, children }: { value: T | null; children(value: T): ReactNode }) {
  const [known, setKnown] = useState<T | null>(value);
  useEffect(() => {
    if (value !== null) setKnown(value);
  }, [value]);
  const shown = value ?? known;
  return shown === null ? null : <>{children(shown)}</>;
}

function Live() {
  const { t } = useI18n();
  const state = useLiveState();
  return (
    <span className={`live ${state}`} role="status">
      <i aria-hidden="true" />
      {t(`live.${state}`)}
    </span>
  );
}

function Open({ list }: { list: TicketList }) {
  const { t } = useI18n();
  return (
    <section className="wall-counts" aria-label={t('wall.open')}>
      {counts(list.items).map((count) => (
        <div key={count.priority} className={`wall-count ${count.priority}`} data-wall={count.priority}>
          <PriorityMark priority={count.priority} />
          <strong>{list.next === null ? count.all : t('wall.more', { n: count.all })}</strong>
          <span>{t('wall.nobody', { n: count.nobody })}</span>
        </div>
      ))}
    </section>
  );
}

function Ticket({ ticket, children }: { ticket: TicketSummary; children: ReactNode }) {
  const { t, language } = useI18n();
  return (
    <li className={ticket.severity} data-wall-ticket={ticket.number}>
      <PriorityMark priority={ticket.priority} />
      <span className="number">{ticket.number}</span>
      <span className="what-wall">
        {[ticket.device.name || ticket.device.id, messageText(ticket.title, ticket.text, language)].filter(Boolean).join(' · ')}
      </span>
      <span className="who-wall">{ticket.assignee ?? t('queue.nobody')}</span>
      {children}
    </li>
  );
}

function Running({ list }: { list: TicketList }) {
  const { t } = useI18n();
  const all = running(list, ROWS);
  return (
    <section aria-label={t('wall.running')}>
      <h2>{t('wall.running')}</h2>
      {all.length === 0 && <p className="empty">{t('wall.none')}</p>}
      <ol>
        {all.map(({ ticket, due }) => (
          <Ticket key={ticket.number} ticket={ticket}>
            <span>{named('clock', due.clock, t)}</span>
            <Countdown at={due.due_at} />
          </Ticket>
        ))}
      </ol>
    </section>
  );
}

function Last({ items }: { items: readonly TicketSummary[] }) {
  const { t } = useI18n();
  return (
    <section aria-label={t('wall.last')}>
      <h2>{t('wall.last')}</h2>
      <ol>
        {items.map((ticket) => (
          <Ticket key={ticket.number} ticket={ticket}>
            <StateMark state={ticket.state} />
            <Age at={ticket.opened_at} />
          </Ticket>
        ))}
      </ol>
    </section>
  );
}

function Duty({ now }: { now: DutyNow }) {
  const { t } = useI18n();
  return (
    <section aria-label={t('wall.duty')}>
      <h2>{t('wall.duty')}</h2>
      <ol>
        {now.items.slice(0, ROWS).map((one) => (
          <li key={`${one.roster}-${one.pattern}-${one.level}-${one.person}`} data-wall-duty={one.person}>
            <span>{named('level', one.level, t)}</span>
            <strong className="what-wall">{one.display_name || one.person}</strong>
            {one.absent && <span className="warn">{t('duty.absent')}</span>}
            <span>{one.phone}</span>
          </li>
        ))}
        {now.nobody.map((level) => (
          <li key={level} className="warn">
            {t('wall.nobody-on-duty', { level: named('level', level, t) })}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Silent({ all }: { all: readonly Agent[] }) {
  const { t } = useI18n();
  const those = silent(all);
  return (
    <section aria-label={t('wall.silent')}>
      <h2>
        {t('wall.silent')} <span className={those.length > 0 ? 'warn' : ''}>{t('wall.of', { n: those.length, all: all.length })}</span>
      </h2>
      <ol>
        {those.slice(0, ROWS).map((agent) => (
          <li key={agent.id}>
            <strong className="what-wall">{agent.id}</strong>
            <span>{agent.site}</span>
            {agent.last_seen_at !== null && <Age at={agent.last_seen_at} />}
          </li>
        ))}
      </ol>
    </section>
  );
}
