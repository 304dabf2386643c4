import { Alert, App, Button, Input, InputNumber, Popconfirm, Select, Table, type TableColumnsType } from 'antd';
import { useMemo, useState } from 'react';
import { api, type AgentKnows, type Maintenance, type MaintenancePreview, type MaintenanceWish } from '../api';
import { useI18n, type Translate } from '../i18n';
import { errorText } from '../i18n/errors';
import { useFetched } from '../live/fetched';
import { wishOf, type ScopeKind } from '../model/maintenance';
import { FleetTabs } from '../parts/FleetTabs';
import { Moment } from '../parts/Moment';
import { Trouble } from '../parts/Notice';
import { useTitle } from '../title';

const wanted = (topic: { event: string }) => topic.event === 'agent';
const load = (signal: AbortSignal) => api.maintenance(signal);
const choices = async (signal: AbortSignal) => {
  const [agents, devices] = await Promise.all([api.agents(signal), api.devices(null, signal)]);
  return { agents, devices };
};
const never = () => false;

/** Windows of maintenance: what is planned, now and over; a new one after a look at what it would be about. */
export default function MaintenancePage() {
  const { t } = useI18n();
  useTitle(t('maintenance.title'));
  const { data, error, loading, reload } = useFetched(load, wanted);
  const columns = useMemo(() => columnsOf(t, data?.agents ?? [], reload), [t, data, reload]);
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('fleet.title')}</h1>
        <FleetTabs tab="maintenance" />
      </div>
      <p className="hint">{t('maintenance.hint')}</p>
      <NewWindow onSet={reload} />
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      <Table<Maintenance>
        size="small"
        rowKey="id"
        columns={columns}
        dataSource={data?.items ?? []}
        loading={loading}
        pagination={false}
        scroll={{ x: 1100 }}
        locale={{ emptyText: loading ? ' ' : <p className="empty">{t('maintenance.none')}</p> }}
      />
    </div>
  );
}

function NewWindow({ onSet }: { onSet(): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const { data } = useFetched(choices, never);
  const [kind, setKind] = useState<ScopeKind>('devices');
  const [names, setNames] = useState<string[]>([]);
  const [hours, setHours] = useState(2);
  const [from, setFrom] = useState('');
  const [reason, setReason] = useState('');
  const [about, setAbout] = useState<{ wish: MaintenanceWish; preview: MaintenancePreview } | null>(null);
  const [busy, setBusy] = useState(false);
  const change = <T,>(set: (value: T) => void) => (value: T) => {
    setAbout(null);
    set(value);
  };
  const options = {
    agent: (data?.agents ?? []).map((a) => ({ value: a.id, label: a.id })),
    site: [...new Set((data?.devices ?? []).map((d) => d.site).concat((data?.agents ?? []).map((a) => a.site)))]
      .filter((site) => site !== null)
      .map((site) => ({ value: site, label: site })),
    devices: (data?.devices ?? []).map((d) => ({ value: JSON.stringify([d.agent, d.id]), label: `${d.name} (${d.agent})` })),
  }[kind];
  const run = async (act: () => Promise<void>) => {
    setBusy(true);
    try {
      await act();
    } catch (error) {
      void message.error(errorText(error, t));
    } finally {
      setBusy(false);
    }
  };
  const look = () =>
    run(async () => {
      const wish = wishOf(kind, names, from, hours, reason, new Date());
      if (wish === null) {
        void message.info(t('maintenance.incomplete'));
        return;
      }
      setAbout({ wish, preview: await api.previewMaintenance(wish) });
    });
  const set = (wish: MaintenanceWish) =>
    run(async () => {
      await api.beginMaintenance(wish);
      setAbout(null);
      setNames([]);
      setReason('');
      void message.success(t('maintenance.set-done'));
      onSet();
    });
  return (
    <section className="panel maintenance-form">
      <div className="row">
        <Select<ScopeKind>
          aria-label={t('maintenance.scope')}
          value={kind}
          style={{ width: 160 }}
          onChange={(value) => {
            setNames([]);
            change(setKind)(value);
          }}
          options={(['devices', 'site', 'agent'] as const).map((value) => ({ value, label: t(`maintenance.kind-${value}`) }))}
        />
        <Select<string[]>
          aria-label={t(`maintenance.kind-${kind}`)}
          mode="multiple"
          maxCount={kind === 'devices' ? 100 : 1}
          style={{ minWidth: 280 }}
          placeholder={t(`maintenance.kind-${kind}`)}
          value={names}
          onChange={change(setNames)}
          options={options}
        />
        <Input
          aria-label={t('maintenance.from')}
          type="datetime-local"
          style={{ width: 210 }}
          value={from}
          onChange={(e) => change(setFrom)(e.target.value)}
        />
        <InputNumber<number>
          aria-label={t('maintenance.hours')}
          min={0.25}
          max={720}
          value={hours}
          suffix={t('maintenance.hours')}
          style={{ width: 130 }}
          onChange={(value) => change(setHours)(value ?? 1)}
        />
        <Input
          aria-label={t('maintenance.reason')}
          placeholder={t('maintenance.reason')}
          maxLength={300}
          style={{ width: 260 }}
          value={reason}
          onChange={(e) => change(setReason)(e.target.value)}
        />
        <Button onClick={() => void look()} loading={busy} data-action="preview-maintenance">
          {t('maintenance.preview')}
        </Button>
      </div>
      {about !== null && (
        <Alert
          type="info"
          title={t('maintenance.about', {
            devices: about.preview.devices.length,
            alarms: about.preview.active_alarms,
            agents: about.preview.agents.map((a) => a.agent).join(', '),
          })}
          description={
            <>
              <p>{about.preview.devices.slice(0, 20).map((d) => d.name).join(', ')}</p>
              {about.preview.agents.some((a) => a.knows === 'cannot') && <p>{t('maintenance.some-cannot')}</p>}
            </>
          }
          action={
            <Button type="primary" loading={busy} onClick={() => void set(about.wish)} data-action="begin-maintenance">
              {t('maintenance.begin')}
            </Button>
          }
        />
      )}
    </section>
  );
}

function columnsOf(t: Translate, agents: AgentKnows[], reload: () => void): TableColumnsType<Maintenance> {
  const scope = (w: Maintenance) => {
    if (w.agent !== null) return t('maintenance.of-agent', { name: w.agent });
    if (w.site !== null) return t('maintenance.of-site', { name: w.site });
    return w.devices.map((d) => d.name).join(', ');
  };
  const waits = (w: Maintenance) => {
    const own = new Set(w.agent === null ? w.devices.map((d) => d.agent) : [w.agent]);
    return agents.filter((a) => a.knows !== 'all' && (w.site !== null || own.has(a.agent)));
  };
  return [
    {
      title: t('maintenance.state'),
      width: 110,
      render: (_, w) => (
        <span className={`mark ${w.state}`} data-window={w.id} data-state={w.state}>
          {t(`maintenance.is-${w.state}`)}
        </span>
      ),
    },
    { title: t('maintenance.scope'), render: (_, w) => scope(w) },
    { title: t('maintenance.from'), width: 170, render: (_, w) => <Moment at={w.from} /> },
    { title: t('maintenance.until'), width: 170, render: (_, w) => <Moment at={w.ended_at ?? w.until} /> },
    { title: t('maintenance.reason'), width: 220, render: (_, w) => w.reason },
    {
      title: t('maintenance.by'),
      width: 150,
      render: (_, w) => (w.ended_by === null ? w.by : t('maintenance.ended-by', { by: w.by, ended: w.ended_by })),
    },
    {
      title: '',
      width: 200,
      render: (_, w) => w.state !== 'over' && <EndButton id={w.id} waits={waits(w).map((a) => a.agent)} onEnded={reload} />,
    },
  ];
}

function EndButton({ id, waits, onEnded }: { id: string; waits: string[]; onEnded(): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const end = async () => {
    try {
      await api.endMaintenance(id);
      onEnded();
    } catch (error) {
      void message.error(errorText(error, t));
    }
  };
  return (
    <>
      <Popconfirm title={t('maintenance.end-sure')} onConfirm={() => void end()}>
        <Button size="small" data-action="end-maintenance">
          {t('maintenance.end')}
        </Button>
      </Popconfirm>
      {waits.length > 0 && <p className="hint">{t('maintenance.not-yet', { agents: waits.join(', ') })}</p>}
    </>
  );
}
