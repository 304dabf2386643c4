import { App, Button, Select, Table, Upload } from 'antd';
import { useState } from 'react';
import { api, type CalendarView, type PlanView } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { mayDecide, PRIORITIES } from '../model/desk';
import { daysOf, isIcalendar, limits, parsed, withinText, years } from '../model/shelf';
import { Panel } from '../parts/Facts';
import { MastersTabs } from '../parts/MastersTabs';
import { Moment } from '../parts/Moment';
import { Trouble } from '../parts/Notice';
import { ShelfDialogue } from '../parts/ShelfDialogue';
import { useSession } from '../session';
import { useTitle } from '../title';

const never = () => false;
const loadPlans = (signal: AbortSignal) => api.plans(signal);
const loadCalendars = (signal: AbortSignal) => api.calendars(signal);
/** What a new one begins with. */
const NEW_PLAN = {
  title: { 'zh-CN': '', en: '' },
  base: 'carrier',
  priorities: { p1: { restore: { within: '4h' } } },
};
const NEW_CALENDAR = { time_zone: 'Asia/Shanghai', days: [] };

/** What is promised, and when the clocks of it run. */
export default function ShelfPage({ shelf }: { shelf: 'plans' | 'calendars' }) {
  const { t } = useI18n();
  useTitle(t(`shelf.${shelf}`));
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('masters.title')}</h1>
      </div>
      <MastersTabs active={shelf} />
      <p className="hint">{t(`shelf.${shelf}-hint`)}</p>
      {shelf === 'plans' ? <Plans /> : <Calendars />}
    </div>
  );
}

function useMayDecide(): boolean {
  const { phase } = useSession();
  return phase.at === 'in' && mayDecide(phase.user);
}

function Plans() {
  const { t, language } = useI18n();
  const may = useMayDecide();
  const { data, error, reload } = useFetched(loadPlans, never);
  const [edited, setEdited] = useState<PlanView | 'new' | null>(null);
  return (
    <>
      {may && (
        <div className="actions">
          <Button type="primary" data-action="add" onClick={() => setEdited('new')}>
            {t('masters.add')}
          </Button>
        </div>
      )}
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      <div className="shelf">
        {(data?.items ?? []).map((view) => (
          <Panel key={view.name} title={view.plan.title[language]}>
            <p className="hint">{view.plan.note?.[language]}</p>
            <LimitTable view={view} />
            <div className="inline">
              <span className="hint">
                {view.name} · {t('shelf.version', { version: view.version })}
                {view.preset && ` · ${t('shelf.preset')}`}
                {view.plan.base !== undefined && ` · ${t('shelf.base', { base: view.plan.base })}`}
              </span>
              <span className="grow" />
              <Button size="small" type="link" data-plan={view.name} onClick={() => setEdited(view)}>
                {t(may ? 'shelf.edit' : 'shelf.show')}
              </Button>
            </div>
          </Panel>
        ))}
      </div>
      {edited !== null && (
        <ShelfDialogue
          name={edited === 'new' ? null : edited.name}
          version={edited === 'new' ? 0 : edited.version}
          body={edited === 'new' ? NEW_PLAN : edited.plan}
          readOnly={!may}
          put={api.putPlan}
          remove={api.removePlan}
          onSaved={reload}
          onClose={() => setEdited(null)}
        />
      )}
    </>
  );
}

function LimitTable({ view }: { view: PlanView }) {
  const { t, language } = useI18n();
  return (
    <table className="explain">
      <thead>
        <tr>
          <th>{t('shelf.limit')}</th>
          {PRIORITIES.map((priority) => (
            <th key={priority}>{priority.toUpperCase()}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {limits(view.plan).map(({ name, within }) => (
          <tr key={name}>
            <td>{view.plan.names?.[name]?.[language] ?? named('clock', name, t)}</td>
            {PRIORITIES.map((priority) => (
              <td key={priority}>{withinText(within[priority], t)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Calendars() {
  const { t } = useI18n();
  const may = useMayDecide();
  const { data, error, reload } = useFetched(loadCalendars, never);
  const [edited, setEdited] = useState<CalendarView | 'new' | null>(null);
  return (
    <>
      {may && (
        <div className="actions">
          <Button type="primary" data-action="add" onClick={() => setEdited('new')}>
            {t('masters.add')}
          </Button>
        </div>
      )}
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      {data?.items.length === 0 && <p className="empty">{t('masters.empty')}</p>}
      <div className="shelf">
        {(data?.items ?? []).map((view) => (
          <CalendarPanel key={view.name} view={view} may={may} onEdit={() => setEdited(view)} onChanged={reload} />
        ))}
      </div>
      {edited !== null && (
        <ShelfDialogue
          name={edited === 'new' ? null : edited.name}
          version={edited === 'new' ? 0 : edited.version}
          body={edited === 'new' ? NEW_CALENDAR : edited.calendar}
          readOnly={!may}
          put={api.putCalendar}
          remove={api.removeCalendar}
          onSaved={reload}
          onClose={() => setEdited(null)}
        />
      )}
    </>
  );
}

interface PanelProps {
  view: CalendarView;
  may: boolean;
  onEdit(): void;
  onChanged(): void;
}

function CalendarPanel({ view, may, onEdit, onChanged }: PanelProps) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const days = view.calendar.days ?? [];
  const known = years(days);
  const [year, setYear] = useState<string | null>(null);
  const shown = year ?? known[0] ?? '';
  const take = async (text: string) => {
    try {
      const json = isIcalendar(text) ? null : parsed(text);
      if (json !== null && !('value' in json)) {
        void message.error(t('shelf.not-json', { line: json.line, column: json.column, what: json.what }), 8);
        return;
      }
      await (json === null
        ? api.addDays(view.name, view.version, text, false)
        : api.putCalendar(view.name, view.version, json.value));
      onChanged();
    } catch (error) {
      void message.error(errorText(error, t), 8);
    }
  };
  return (
    <Panel title={view.calendar.title ?? view.name}>
      <div className="inline">
        <span className="hint">
          {view.name} · {t('shelf.version', { version: view.version })}
          {view.calendar.time_zone !== undefined && ` · ${t('clock.place', { zone: view.calendar.time_zone })}`}
          {' · '}
          <Moment at={view.changed_at} />
        </span>
        <span className="grow" />
        {known.length > 0 && (
          <Select size="small" aria-label={t('shelf.year')} value={shown} options={known.map((value) => ({ value, label: value }))} onChange={setYear} />
        )}
      </div>
      <Table
        size="small"
        rowKey={(day) => `${day.from} ${day.kind} ${day.note ?? ''}`}
        dataSource={daysOf(days, shown)}
        pagination={false}
        locale={{ emptyText: t('shelf.no-days') }}
        columns={[
          { title: t('clock.from'), dataIndex: 'from' },
          { title: t('clock.to'), render: (_, day) => day.to ?? day.from },
          { title: t('shelf.kind'), render: (_, day) => named('day', day.kind, t) },
          { title: t('field.note'), dataIndex: 'note' },
        ]}
      />
      <div className="actions">
        {may && (
          <Upload
            accept=".ics,.json,text/calendar,application/json"
            showUploadList={false}
            beforeUpload={(file) => {
              void file.text().then(take);
              return false;
            }}
          >
            <Button size="small">{t('shelf.take-file')}</Button>
          </Upload>
        )}
        <Button size="small" type="link" data-calendar={view.name} onClick={onEdit}>
          {t(may ? 'shelf.edit' : 'shelf.show')}
        </Button>
      </div>
    </Panel>
  );
}
