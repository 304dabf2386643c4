import { Table, type TableColumnsType } from 'antd';
import type { Report, ReportFault, ReportSide, Spread } from '../answers/reports';
import { useI18n } from '../i18n';
import { faster, took } from '../model/report';
import { Bars } from './Bars';
import { Panel } from './Facts';

/** The automatic path beside the manual one, on the faults that came both ways. */
export function PathCompare({ report }: { report: Report }) {
  const { t, language } = useI18n();
  const { both, faults } = report;
  const time = (ms: number | null) => took(ms, t, language);
  const half = (of: Spread) => of.p50_ms ?? 0;
  const steps = [
    { name: t('reports.to-ticket'), of: (side: ReportSide) => side.to_ticket },
    { name: t('reports.to-engineer'), of: (side: ReportSide) => side.to_engineer },
  ];
  const cell = (of: Spread) => t('reports.spread', { half: time(of.p50_ms), most: time(of.p90_ms), n: of.count });
  const columns: TableColumnsType<ReportFault> = [
    { title: t('reports.fault'), render: (_, f) => (f.code === '' ? t('reports.all-faults') : f.code), fixed: 'left' },
    {
      title: t('reports.tickets'),
      render: (_, f) => t('reports.two', { automatic: f.automatic.tickets, hand: f.by_hand.tickets }),
    },
    ...steps.flatMap((step) => [
      { title: `${step.name}: ${t('reports.automatic')}`, render: (_: unknown, f: ReportFault) => cell(step.of(f.automatic)) },
      { title: `${step.name}: ${t('reports.by-hand')}`, render: (_: unknown, f: ReportFault) => cell(step.of(f.by_hand)) },
    ]),
    {
      title: t('reports.faster'),
      align: 'right',
      render: (_, f) => {
        const times = faster(f.automatic.to_ticket, f.by_hand.to_ticket);
        return times === null ? '–' : t('reports.times', { n: times });
      },
    },
  ];
  const bars = steps.flatMap((step) => [
    {
      label: t('reports.automatic'),
      text: `${step.name}: ${time(step.of(both.automatic).p50_ms)}`,
      parts: [{ kind: 'first' as const, value: half(step.of(both.automatic)) }],
    },
    {
      label: t('reports.by-hand'),
      text: `${step.name}: ${time(step.of(both.by_hand).p50_ms)}`,
      parts: [{ kind: 'second' as const, value: half(step.of(both.by_hand)) }],
    },
  ]);
  const most = Math.max(1, ...bars.map((bar) => bar.parts[0]?.value ?? 0));
  return (
    <Panel title={t('reports.paths')}>
      <p className="hint">{t('reports.paths-hint')}</p>
      {faults.length === 0 ? (
        <p className="empty">{t('reports.no-both')}</p>
      ) : (
        <>
          <Bars title={t('reports.paths')} most={most} bars={bars} />
          <Table<ReportFault>
            size="small"
            rowKey="code"
            columns={columns}
            dataSource={[both, ...faults]}
            scroll={{ x: 'max-content' }}
            pagination={{ pageSize: 15, hideOnSinglePage: true }}
            rowClassName={(f) => (f.code === '' ? 'sum' : '')}
          />
          {report.faults_left_out > 0 && <p className="hint">{t('reports.left-out', { n: report.faults_left_out })}</p>}
        </>
      )}
    </Panel>
  );
}
