import { Tabs } from 'antd';
import { useLocation } from 'wouter';
import { useI18n } from '../i18n';
import { KINDS, type Kind } from '../model/desk';

/** The kinds of records of the service side, the promises among them. */
export function MastersTabs({ active }: { active: Kind | 'plans' | 'calendars' }) {
  const { t } = useI18n();
  const [, go] = useLocation();
  return (
    <Tabs
      activeKey={active}
      items={[
        ...KINDS.map((key) => ({ key, label: t(`masters.${key}`) })),
        { key: 'plans', label: t('shelf.plans') },
        { key: 'calendars', label: t('shelf.calendars') },
      ]}
      onChange={(key) => go(`/masters/${key}`)}
    />
  );
}
