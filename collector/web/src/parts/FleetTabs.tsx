import { Link } from 'wouter';
import { useI18n } from '../i18n';

const PAGES = { agents: '/fleet', devices: '/fleet/devices', maintenance: '/fleet/maintenance' } as const;

/** The pages of the fleet. */
export function FleetTabs({ tab }: { tab: keyof typeof PAGES }) {
  const { t } = useI18n();
  return (
    <nav className="tabs" aria-label={t('fleet.title')}>
      {(Object.keys(PAGES) as (keyof typeof PAGES)[]).map((name) => (
        <Link
          key={name}
          href={PAGES[name]}
          className={tab === name ? 'here' : ''}
          {...(tab === name ? { 'aria-current': 'page' } : {})}
        >
          {t(`fleet.${name}`)}
        </Link>
      ))}
    </nav>
  );
}
