import { DownOutlined, UserOutlined } from '@ant-design/icons';
import { App, Dropdown, Tooltip } from 'antd';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import type { User } from './api';
import { useI18n, type Key } from './i18n';
import { errorText } from './i18n/errors';
import { named } from './i18n/named';
import { useLiveState } from './live';
import { mayAudit, mayKeepKeys } from './model/audit';
import { LanguageSwitch } from './parts/LanguageSwitch';
import { Logo } from './parts/Logo';
import { useSession } from './session';

/** The frame around every page: what it is, where to go, who is here, whether it is live. */
export function Shell({ user, children }: { user: User; children: ReactNode }) {
  const { t } = useI18n();
  return (
    <div className="shell">
      <a className="skip" href="#content">
        {t('app.skip')}
      </a>
      <header className="top">
        <Link href="/tickets" className="brand">
          <Logo />
          {t('app.name')}
        </Link>
        <nav aria-label={t('nav.label')}>
          {isCustomer(user) ? <NavLink to="/mine" text="nav.mine" /> : <CentreLinks user={user} />}
        </nav>
        <span className="grow" />
        {!isCustomer(user) && <LiveMark />}
        <LanguageSwitch />
        <UserMenu user={user} />
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

const isCustomer = (user: User) => user.role === 'customer';

function CentreLinks({ user }: { user: User }) {
  return (
    <>
      <NavLink to="/tickets" text="nav.tickets" />
      <NavLink to="/fleet" text="nav.fleet" />
      <NavLink to="/masters" text="nav.masters" />
      <NavLink to="/knowledge" text="nav.knowledge" />
      <NavLink to="/duty" text="nav.duty" />
      <NavLink to="/reports" text="nav.reports" />
      {mayAudit(user) && <NavLink to="/notices" text="nav.notices" />}
      {mayAudit(user) && <NavLink to="/audit" text="nav.audit" />}
    </>
  );
}

function NavLink({ to, text }: { to: string; text: Key & `nav.${'tickets' | 'mine' | 'fleet' | 'masters' | 'knowledge' | 'duty' | 'reports' | 'notices' | 'audit'}` }) {
  const { t } = useI18n();
  const [path] = useLocation();
  const here = path === to || path.startsWith(`${to}/`);
  return (
    <Link href={to} className={here ? 'here' : ''} {...(here ? { 'aria-current': 'page' } : {})}>
      {t(text)}
    </Link>
  );
}

function LiveMark() {
  const { t } = useI18n();
  const state = useLiveState();
  const hint = state === 'reconnecting' ? 'live.reconnecting-hint' : 'live.connected-hint';
  return (
    <Tooltip title={t(hint)}>
      <span className={`live ${state}`} role="status" data-live={state}>
        <i aria-hidden="true" />
        {t(`live.${state}`)}
      </span>
    </Tooltip>
  );
}

function UserMenu({ user }: { user: User }) {
  const { t } = useI18n();
  const { logout } = useSession();
  const { message } = App.useApp();
  const [, go] = useLocation();
  const leave = () => {
    logout().then(
      () => go('/tickets'),
      (error: unknown) => void message.error(errorText(error, t)),
    );
  };
  const name = user.display_name || user.name;
  return (
    <Dropdown
      trigger={['click']}
      menu={{
        items: [
          {
            key: 'who',
            type: 'group',
            label: t('nav.user', { name: user.name, role: named('role', user.role, t) }),
            children: [
              ...(isCustomer(user)
                ? []
                : [{ key: 'notices', label: t('nav.my-notices'), onClick: () => go('/me/notices') }]),
              ...(mayKeepKeys(user) ? [{ key: 'tokens', label: t('nav.tokens'), onClick: () => go('/tokens') }] : []),
              { key: 'wall', label: t('nav.wall'), onClick: () => go('/wall') },
              { key: 'password', label: t('nav.password'), onClick: () => go('/password') },
              { key: 'logout', label: t('nav.logout'), onClick: leave },
            ],
          },
        ],
      }}
    >
      <button type="button" className="quiet user" data-user={user.name}>
        <UserOutlined aria-hidden="true" /> {name} <DownOutlined aria-hidden="true" />
      </button>
    </Dropdown>
  );
}
