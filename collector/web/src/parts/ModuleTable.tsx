import { Table } from 'antd';
import type { DeviceModule, ModuleChange } from '../api';
import { useI18n, type Translate } from '../i18n';
import { named } from '../i18n/named';
import { visible } from '../model/evidence';
import { Moment } from './Moment';

const paged = (n: number) => (n > 50 ? ({ pageSize: 50, size: 'small', showSizeChanger: false } as const) : false);

const shown = (text: string | null, t: Translate) => (text ? visible(text) : t('app.none'));

/** What a device is made of. */
export function ModuleTable({ modules }: { modules: DeviceModule[] }) {
  const { t } = useI18n();
  const code = (text: string | null) => (text ? <code>{visible(text)}</code> : t('app.none'));
  return (
    <Table<DeviceModule>
      className="modules"
      size="small"
      rowKey="index"
      dataSource={modules}
      pagination={paged(modules.length)}
      scroll={{ x: 1040 }}
      columns={[
        {
          title: t('module.name'),
          render: (_, m) => (
            <span data-module={m.name} title={m.description ? visible(m.description) : undefined}>
              {visible(m.name)}
            </span>
          ),
        },
        { title: t('module.class'), width: 110, render: (_, m) => named('part', m.class, t) },
        { title: t('module.model'), width: 160, render: (_, m) => shown(m.model, t) },
        { title: t('fleet.serial'), width: 160, render: (_, m) => code(m.serial) },
        { title: t('module.hardware'), width: 100, render: (_, m) => shown(m.hardware, t) },
        { title: t('fleet.firmware'), width: 110, render: (_, m) => shown(m.firmware, t) },
        { title: t('module.software'), width: 110, render: (_, m) => shown(m.software, t) },
        { title: t('module.since'), width: 170, render: (_, m) => <Moment at={m.since} /> },
      ]}
    />
  );
}

/** What changed of it, the latest first. */
export function ChangeTable({ changes }: { changes: ModuleChange[] }) {
  const { t } = useI18n();
  return (
    <Table<ModuleChange>
      className="changes"
      size="small"
      rowKey="id"
      dataSource={changes}
      pagination={paged(changes.length)}
      scroll={{ x: 800 }}
      columns={[
        { title: t('module.at'), width: 180, render: (_, c) => <Moment at={c.at} /> },
        {
          title: t('module.name'),
          render: (_, c) => (c.class === 'device' ? t('module.itself') : visible(c.name)),
        },
        {
          title: t('module.what'),
          width: 150,
          render: (_, c) => <span data-change={c.what}>{named('change', c.what, t)}</span>,
        },
        { title: t('module.was'), width: 170, render: (_, c) => shown(c.was, t) },
        { title: t('module.now'), width: 170, render: (_, c) => shown(c.now, t) },
      ]}
    />
  );
}
