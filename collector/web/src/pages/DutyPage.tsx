import { Alert, App, Button, Input, InputNumber, Modal, Select, Table, type TableColumnsType } from 'antd';
import { useMemo, useState } from 'react';
import { Link } from 'wouter';
import { api, type DutyBoard, type DutyNow, type OnDuty } from '../api';
import { useNow } from '../clock';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { absentUntil, mayLead, maySwap, rows, type Row } from '../model/duty';
import { Panel } from '../parts/Facts';
import { Moment } from '../parts/Moment';
import { Trouble } from '../parts/Notice';
import { useSession } from '../session';
import { useTitle } from '../title';

const never = () => false;
const load = async (signal: AbortSignal): Promise<{ now: DutyNow; board: DutyBoard }> => {
  const [now, board] = await Promise.all([api.duty(signal), api.dutyBoard(signal)]);
  return { now, board };
};
const loadPeople = (signal: AbortSignal) => api.people(signal);

/** Who is on duty now, and the board of the next seven days. */
export default function DutyPage() {
  const { t } = useI18n();
  useTitle(t('duty.title'));
  const { data, error, reload } = useFetched(load, never);
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('duty.title')}</h1>
      </div>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      {data && (
        <>
          <Present now={data.now} />
          <Board board={data.board} onChanged={reload} />
          <Absences board={data.board} onChanged={reload} />
        </>
      )}
    </div>
  );
}

function Present({ now }: { now: DutyNow }) {
  const { t } = useI18n();
  const columns: TableColumnsType<OnDuty> = [
    { title: t('duty.level'), render: (_, s) => named('level', s.level, t) },
    {
      title: t('duty.person'),
      render: (_, s) => (
        <span data-on-duty={s.person}>
          {s.display_name} {s.absent && <span className="warn">{t('duty.absent')}</span>}
        </span>
      ),
    },
    { title: t('duty.phone'), render: (_, s) => s.phone !== '' && <a href={`tel:${s.phone}`}>{s.phone}</a> },
    { title: t('duty.shift'), render: (_, s) => `${s.roster} · ${s.pattern}` },
    { title: t('duty.until'), render: (_, s) => <Moment at={s.until} /> },
  ];
  const nobody = now.nobody.map((level) => named('level', level, t)).join(', ');
  return (
    <Panel title={t('duty.now')}>
      {nobody !== '' && <Alert type="warning" showIcon title={t('duty.nobody', { levels: nobody })} />}
      <Table<OnDuty>
        size="small"
        rowKey={(s) => `${s.level} ${s.person} ${s.roster} ${s.pattern}`}
        columns={columns}
        dataSource={now.items}
        pagination={false}
      />
      {now.orphans.length > 0 && (
        <div data-part="orphans">
          <h3>{t('duty.orphans')}</h3>
          <ul className="plain">
            {now.orphans.map((o) => (
              <li key={o.number}>
                <Link href={`/tickets/${o.number}`}>{o.number}</Link> {o.priority.toUpperCase()} {o.device} · {o.assignee}
              </li>
            ))}
          </ul>
        </div>
      )}
    </Panel>
  );
}

function Board({ board, onChanged }: { board: DutyBoard; onChanged(): void }) {
  const { t, language } = useI18n();
  const { phase } = useSession();
  const now = useNow();
  const [swapped, setSwapped] = useState<Row | null>(null);
  const all = useMemo(() => rows(board, language), [board, language]);
  const user = phase.at === 'in' ? phase.user : null;
  const columns: TableColumnsType<Row> = [
    { title: t('duty.day'), render: (_, s) => s.day },
    { title: t('duty.from'), render: (_, s) => <Moment at={s.from} /> },
    { title: t('duty.until'), render: (_, s) => <Moment at={s.until} /> },
    { title: t('duty.level'), render: (_, s) => named('level', s.level, t) },
    { title: t('duty.shift'), render: (_, s) => `${s.roster} · ${s.pattern}` },
    {
      title: t('duty.person'),
      render: (_, s) => (
        <>
          {s.person} {s.person !== s.planned && <span className="hint">{t('duty.instead', { name: s.planned })}</span>}{' '}
          {s.away && <span className="warn">{t('duty.absent')}</span>}
        </>
      ),
    },
    {
      title: '',
      render: (_, s) =>
        s.id === null ? (
          <span className="hint">{t('duty.planned')}</span>
        ) : (
          user !== null &&
          maySwap(s, user, now) && (
            <Button size="small" type="link" data-action="swap" onClick={() => setSwapped(s)}>
              {t('duty.swap')}
            </Button>
          )
        ),
    },
  ];
  return (
    <Panel title={t('duty.board')}>
      <Table<Row> size="small" rowKey="key" columns={columns} dataSource={all} pagination={{ pageSize: 50, hideOnSinglePage: true }} />
      {board.swaps.length > 0 && (
        <ul className="plain hint">
          {board.swaps.map((s, n) => (
            <li key={`${s.shift} ${n}`}>
              <Moment at={s.at} /> {t('duty.swapped', { from: s.from, to: s.to, why: s.reason })}
            </li>
          ))}
        </ul>
      )}
      {swapped !== null && (
        <SwapDialogue
          shift={swapped}
          onEnd={(done) => {
            setSwapped(null);
            if (done) onChanged();
          }}
        />
      )}
    </Panel>
  );
}

function SwapDialogue({ shift, onEnd }: { shift: Row; onEnd(done: boolean): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const { data } = useFetched(loadPeople, never);
  const [to, setTo] = useState<string | null>(null);
  const [reason, setReason] = useState('');
  const give = async () => {
    if (to === null || reason.trim() === '' || shift.id === null) return;
    try {
      await api.swapShift(shift.id, to, reason.trim());
      onEnd(true);
    } catch (error) {
      void message.error(errorText(error, t));
    }
  };
  return (
    <Modal
      open
      title={t('duty.swap-title', { day: shift.day, name: shift.person })}
      okText={t('duty.swap')}
      cancelText={t('transition.cancel')}
      okButtonProps={{ disabled: to === null || reason.trim() === '' }}
      onOk={() => void give()}
      onCancel={() => onEnd(false)}
    >
      <Select<string>
        aria-label={t('duty.to')}
        placeholder={t('duty.to')}
        style={{ width: '100%' }}
        value={to}
        onChange={setTo}
        options={(data ?? []).map((p) => ({ value: p.name, label: `${p.display_name} (${named('role', p.role, t)})` }))}
      />
      <Input aria-label={t('duty.why')} placeholder={t('duty.why')} maxLength={200} value={reason} onChange={(e) => setReason(e.target.value)} />
    </Modal>
  );
}

function Absences({ board, onChanged }: { board: DutyBoard; onChanged(): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const { phase } = useSession();
  const { data } = useFetched(loadPeople, never);
  const [person, setPerson] = useState<string | null>(null);
  const [days, setDays] = useState(1);
  const [reason, setReason] = useState('');
  const user = phase.at === 'in' ? phase.user : null;
  if (user === null) return null;
  const run = async (act: () => Promise<unknown>) => {
    try {
      await act();
      setReason('');
      onChanged();
    } catch (error) {
      void message.error(errorText(error, t));
    }
  };
  const note = () => {
    const whom = person === null ? {} : { person };
    return run(() => api.addAbsence({ ...whom, until: absentUntil(days, Date.now()), reason: reason.trim() }));
  };
  return (
    <Panel title={t('duty.absences')} hint={t('duty.absences-hint')}>
      <div className="inline">
        {mayLead(user) && (
          <Select<string>
            aria-label={t('duty.person')}
            allowClear
            placeholder={t('duty.myself')}
            style={{ minWidth: 180 }}
            value={person}
            onChange={(name: string | undefined) => setPerson(name ?? null)}
            options={(data ?? []).map((p) => ({ value: p.name, label: p.display_name }))}
          />
        )}
        <InputNumber aria-label={t('duty.days')} suffix={t('duty.days')} min={1} max={700} value={days} onChange={(n) => setDays(n ?? 1)} />
        <Input aria-label={t('duty.why')} placeholder={t('duty.why')} maxLength={200} value={reason} onChange={(e) => setReason(e.target.value)} />
        <Button data-action="absent" disabled={reason.trim() === ''} onClick={() => void note()}>
          {t('duty.note-absence')}
        </Button>
      </div>
      <ul className="plain">
        {board.absences.map((a) => (
          <li key={a.id} data-absence={a.person}>
            {a.person} · <Moment at={a.from} /> – <Moment at={a.until} /> · {a.reason}{' '}
            {(a.person === user.name || mayLead(user)) && (
              <Button size="small" type="link" onClick={() => void run(() => api.endAbsence(a.id))}>
                {t('duty.take-back')}
              </Button>
            )}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
