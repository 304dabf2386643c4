import { Input } from 'antd';
import { useState } from 'react';
import { Link } from 'wouter';
import { useI18n } from '../i18n';
import { AgentTable } from '../parts/AgentTable';
import { DeviceTable } from '../parts/DeviceTable';
import { TrustNotice } from '../parts/TrustNotice';
import { useTitle } from '../title';

/** All agents, or all devices. */
export default function FleetPage({ tab }: { tab: 'agents' | 'devices' }) {
  const { t } = useI18n();
  const [search, setSearch] = useState('');
  useTitle(t('fleet.title'));
  const link = (to: string, name: 'agents' | 'devices') => (
    <Link href={to} className={tab === name ? 'here' : ''} {...(tab === name ? { 'aria-current': 'page' } : {})}>
      {t(`fleet.${name}`)}
    </Link>
  );
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('fleet.title')}</h1>
        <nav className="tabs" aria-label={t('fleet.title')}>
          {link('/fleet', 'agents')}
          {link('/fleet/devices', 'devices')}
        </nav>
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
