import { Input } from 'antd';
import { useState } from 'react';
import { useI18n } from '../i18n';
import { AgentTable } from '../parts/AgentTable';
import { DeviceTable } from '../parts/DeviceTable';
import { FleetTabs } from '../parts/FleetTabs';
import { TrustNotice } from '../parts/TrustNotice';
import { useTitle } from '../title';

/** All agents, or all devices. */
export default function FleetPage({ tab }: { tab: 'agents' | 'devices' }) {
  const { t } = useI18n();
  const [search, setSearch] = useState('');
  useTitle(t('fleet.title'));
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('fleet.title')}</h1>
        <FleetTabs tab={tab} />
        <span className="grow" />
        <Input
          aria-label={t('fleet.search-label')}
          placeholder={t('fleet.search')}
          allowClear
          style={{ width: 240 }}
          value={search}
          onChange={(e) => setSearch(e.target.value)}
        />
      </div>
      <TrustNotice />
      {tab === 'agents' ? <AgentTable search={search} /> : <DeviceTable search={search} />}
    </div>
  );
}
