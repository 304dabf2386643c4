import { Button, Input, Select, Table, type TableColumnsType } from 'antd';
import { useCallback, useMemo, useState } from 'react';
import { api, reportExport } from '../api';
import type { Report, ReportAsked, ReportGroup } from '../answers/reports';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { BYS, RANGES, inOrder, limitNames, range, share, took } from '../model/report';
import { Bars } from '../parts/Bars';
import { PathCompare } from '../parts/PathCompare';
import { Panel } from '../parts/Facts';
import { Trouble } from '../parts/Notice';
import { useTitle } from '../title';

const never = () => false;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

/** How the service did over a time. */
export default function ReportsPage() {
  const { t } = useI18n();
  useTitle(t('reports.title'));
  const [days, setDays] = useState<number>(30);
  const [by, setBy] = useState<string>('month');
  const [only, setOnly] = useState({ customer: '', site: '', plan: '' });
  const asked: ReportAsked = useMemo(
    () => ({ ...range(days, Date.now()), by, time_zone: zone, ...only }),
    [days, by, only],
  );
  const load = useCallback((signal: AbortSignal) => api.report(asked, signal), [asked]);
  const { data, error, loading, reload } = useFetched(load, never);
  return (
    <div className="page reports">
      <div className="page-head">
        <h1>{t('reports.title')}</h1>
        <span className="grow" />
        <Button href={reportExport(asked)} download data-action="export-report">
          {t('reports.export')}
        </Button>
      </div>
      <div className="filters">
        <Select
          data-filter="days"
          aria-label={t('reports.range')}
          value={days}
          onChange={setDays}
          options={RANGES.map((n) => ({ value: n, label: t('reports.days', { n }) }))}
        />
        <Select
          data-filter="by"
          aria-label={t('reports.by')}
          value={by}
          onChange={setBy}
          options={BYS.map((value) => ({ value, label: t(`reports.by-${value}`) }))}
        />
        {(['customer', 'site', 'plan'] as const).map((name) => (
          <Input.Search
            key={name}
            name={`report-${name}`}
            aria-label={t(`reports.only-${name}`)}
            placeholder={t(`reports.only-${name}`)}
            allowClear
            style={{ width: 180 }}
            onSearch={(value) => setOnly((now) => ({ ...now, [name]: value.trim() }))}
          />
        ))}
      </div>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      {data !== null && <Told report={data} loading={loading} />}
    </div>
  );
}

function Told({ report, loading }: { report: Report; loading: boolean }) {
  const { t } = useI18n();
  const { all, groups } = report;
  const label = (key: string) => (key === '' ? t('reports.unknown') : key);
  const most = Math.max(1, ...groups.map((group) => group.tickets));
  return (
    <>
      {!report.whole && <p className="warn">{t('reports.cut')}</p>}
      <p className="hint" data-report="all">
        {t('reports.sum', { n: all.tickets, automatic: all.automatic, hand: all.tickets - all.automatic })}
      </p>
      <div className="report-charts">
        <Panel title={t('reports.limits')}>
          {all.limits.length === 0 && <p className="empty">{t('reports.no-limits')}</p>}
          <Bars
            title={t('reports.limits')}
            most={100}
            bars={inOrder(all.limits).map((one) => ({
              label: named('clock', one.limit, t),
              text: t('reports.of', { part: one.kept, all: one.decided, share: share(one.kept, one.decided) ?? '–' }),
              parts: [{ kind: 'first', value: share(one.kept, one.decided) ?? 0 }],
            }))}
          />
        </Panel>
        <Panel title={t('reports.opened')}>
          <p className="hint legend">
            <i className="first" aria-hidden="true" /> {t('reports.automatic')} <i className="second" aria-hidden="true" />{' '}
            {t('reports.by-hand')}
          </p>
          <Bars
            title={t('reports.opened')}
            most={most}
            bars={groups.slice(-24).map((group) => ({
              label: label(group.key),
              text: t('reports.two', { automatic: group.automatic, hand: group.tickets - group.automatic }),
              parts: [
                { kind: 'first', value: group.automatic },
                { kind: 'second', value: group.tickets - group.automatic },
              ],
            }))}
          />
        </Panel>
      </div>
      <PathCompare report={report} />
      <Groups report={report} loading={loading} label={label} />
    </>
  );
}

function Groups({ report, loading, label }: { report: Report; loading: boolean; label(key: string): string }) {
  const { t, language } = useI18n();
  const time = (ms: number | null) => took(ms, t, language);
  const per = (part: number, of: number) => {
    const found = share(part, of);
    return found === null ? '–' : t('reports.per-cent', { n: found });
  };
  const columns: TableColumnsType<ReportGroup> = [
    { title: t('reports.by'), render: (_, g) => label(g.key), fixed: 'left' },
    { title: t('reports.tickets'), align: 'right', dataIndex: 'tickets' },
    { title: t('reports.automatic'), align: 'right', render: (_, g) => per(g.automatic, g.tickets) },
    { title: t('reports.recurred'), align: 'right', render: (_, g) => per(g.recurred, g.tickets) },
    ...limitNames([report.all]).map((name) => ({
      title: t('reports.kept', { limit: named('clock', name, t) }),
      align: 'right' as const,
      render: (_: unknown, g: ReportGroup) => {
        const one = g.limits.find((of) => of.limit === name);
        return per(one?.kept ?? 0, one?.decided ?? 0);
      },
    })),
    {
      title: t('reports.respond'),
      align: 'right',
      render: (_, g) => `${time(g.respond.p50_ms)} / ${time(g.respond.p90_ms)}`,
    },
    {
      title: t('reports.restore'),
      align: 'right',
      render: (_, g) => `${time(g.restore.p50_ms)} / ${time(g.restore.p90_ms)}`,
    },
  ];
  return (
    <Panel title={t('reports.numbers')}>
      <Table<ReportGroup>
        size="small"
        rowKey="key"
        columns={columns}
        dataSource={report.groups}
        loading={loading}
        scroll={{ x: 'max-content' }}
        pagination={{ pageSize: 25, hideOnSinglePage: true }}
        locale={{ emptyText: <p className="empty">{t('reports.none')}</p> }}
      />
      {report.groups_left_out > 0 && <p className="hint">{t('reports.left-out', { n: report.groups_left_out })}</p>}
    </Panel>
  );
}
