import { App, Button, Input, Select, Switch, Table, type TableColumnsType } from 'antd';
import { useCallback, useState } from 'react';
import { Link, useLocation } from 'wouter';
import { api, type MyDevice, type MyTicket } from '../api';
import { useI18n } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { visible } from '../model/evidence';
import { Moment } from '../parts/Moment';
import { Trouble } from '../parts/Notice';
import { useTitle } from '../title';

// Customers have no live events: there is a button.
const never = () => false;
const loadPlace = async (signal: AbortSignal) => {
  const [mine, devices] = await Promise.all([api.mine(signal), api.myDevices(signal)]);
  return { mine, devices };
};

/** A customer's own tickets and devices. */
export default function MinePage() {
  const { t, language } = useI18n();
  useTitle(t('mine.title'));
  const [all, setAll] = useState(false);
  const [before, setBefore] = useState<string | null>(null);
  const load = useCallback((signal: AbortSignal) => api.myTickets(all, before, signal), [all, before]);
  const tickets = useFetched(load, never);
  const place = useFetched(loadPlace, never);
  const sites = place.data?.mine.sites ?? [];
  const siteName = (id: string | null) => sites.find((s) => s.id === id)?.name || id || '';
  const trouble = tickets.error ?? place.error;
  const refresh = () => {
    tickets.reload();
    place.reload();
  };
  const columns: TableColumnsType<MyTicket> = [
    { title: t('mine.number'), width: 110, render: (_, x) => <Link href={`/mine/${x.number}`}>{x.number}</Link> },
    { title: t('mine.state'), width: 130, render: (_, x) => named('state', x.state, t) },
    { title: t('mine.severity'), width: 100, render: (_, x) => named('severity', x.severity, t) },
    { title: t('mine.about'), render: (_, x) => visible(messageText(x.title, x.text, language)) },
    { title: t('mine.device'), width: 180, render: (_, x) => visible(x.device) },
    { title: t('mine.site'), width: 160, render: (_, x) => visible(siteName(x.site)) },
    { title: t('mine.opened'), width: 170, render: (_, x) => <Moment at={x.opened_at} /> },
  ];
  const deviceColumns: TableColumnsType<MyDevice> = [
    { title: t('mine.device'), render: (_, d) => visible(d.name || d.serial) },
    { title: t('mine.serial'), width: 200, render: (_, d) => <code>{visible(d.serial)}</code> },
    { title: t('mine.model'), width: 220, render: (_, d) => visible(`${d.vendor} ${d.model}`.trim()) },
    { title: t('mine.site'), width: 160, render: (_, d) => visible(siteName(d.site)) },
    { title: t('mine.alarms'), width: 110, align: 'right', render: (_, d) => d.active_alarms },
  ];
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('mine.title')}</h1>
        <span className="grow" />
        <Switch
          checked={all}
          onChange={(on) => {
            setBefore(null);
            setAll(on);
          }}
          checkedChildren={t('mine.all')}
          unCheckedChildren={t('mine.open')}
          aria-label={t('mine.all')}
        />
        <Button size="small" onClick={refresh} data-action="refresh">
          {t('mine.refresh')}
        </Button>
      </div>
      {trouble !== null && <Trouble text={errorText(trouble, t)} onRetry={refresh} />}
      <NewTicket sites={sites} devices={place.data?.devices.items ?? []} />
      <Table<MyTicket>
        size="small"
        rowKey="number"
        columns={columns}
        dataSource={tickets.data?.items ?? []}
        loading={tickets.loading && tickets.error === null}
        pagination={false}
        scroll={{ x: 900 }}
        locale={{ emptyText: tickets.loading ? ' ' : <p className="empty">{t('mine.none')}</p> }}
      />
      <div className="page-foot">
        <span className="grow" />
        <Button size="small" disabled={before === null} onClick={() => setBefore(null)}>
          {t('mine.latest')}
        </Button>
        <Button size="small" disabled={!tickets.data?.next} onClick={() => setBefore(tickets.data?.next ?? null)}>
          {t('mine.older')}
        </Button>
      </div>
      <h2>{t('mine.devices')}</h2>
      <Table<MyDevice>
        size="small"
        rowKey="serial"
        columns={deviceColumns}
        dataSource={place.data?.devices.items ?? []}
        pagination={{ pageSize: 50, hideOnSinglePage: true }}
        locale={{ emptyText: <p className="empty">{t('mine.no-devices')}</p> }}
      />
    </div>
  );
}

function NewTicket({ sites, devices }: { sites: { id: string; name: string }[]; devices: MyDevice[] }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [, go] = useLocation();
  const [site, setSite] = useState<string | null>(null);
  const [serial, setSerial] = useState<string | null>(null);
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const open = async () => {
    if (site === null || text.trim() === '') {
      void message.info(t('mine.incomplete'));
      return;
    }
    setBusy(true);
    try {
      const page = await api.openMyTicket({ text: text.trim(), site, serial: serial ?? '' });
      go(`/mine/${page.ticket.number}`);
    } catch (error) {
      void message.error(errorText(error, t));
      setBusy(false);
    }
  };
  return (
    <section className="panel maintenance-form">
      <div className="row">
        <Select<string | null>
          aria-label={t('mine.site')}
          placeholder={t('mine.site')}
          style={{ width: 200 }}
          value={site}
          onChange={(value) => {
            setSite(value);
            setSerial(null);
          }}
          options={sites.map((s) => ({ value: s.id, label: s.name || s.id }))}
        />
        <Select<string | null>
          aria-label={t('mine.device')}
          placeholder={t('mine.device')}
          allowClear
          style={{ width: 240 }}
          value={serial}
          onChange={(value) => setSerial(value ?? null)}
          options={devices.filter((d) => d.site === site).map((d) => ({ value: d.serial, label: d.name || d.serial }))}
        />
        <Input.TextArea
          aria-label={t('mine.wrong')}
          placeholder={t('mine.wrong')}
          autoSize={{ minRows: 1, maxRows: 8 }}
          maxLength={4000}
          style={{ width: 420 }}
          value={text}
          onChange={(e) => setText(e.target.value)}
        />
        <Button type="primary" loading={busy} onClick={() => void open()} data-action="open-my-ticket">
          {t('mine.new')}
        </Button>
      </div>
    </section>
  );
}
