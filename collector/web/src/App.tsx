import { App as AntApp, ConfigProvider } from 'antd';
import enUS from 'antd/locale/en_US';
import zhCN from 'antd/locale/zh_CN';
import { lazy, Suspense } from 'react';
import { Redirect, Route, Switch, useLocation } from 'wouter';
import { I18nProvider, useI18n } from './i18n';
import { errorText } from './i18n/errors';
import { LiveProvider } from './live';
import { Boundary } from './parts/Boundary';
import { isKind } from './model/desk';
import { Loading, Trouble } from './parts/Notice';
import { SessionProvider, useSession } from './session';
import { Shell } from './Shell';
import { theme } from './theme';

const LoginPage = lazy(() => import('./pages/LoginPage'));
const PasswordPage = lazy(() => import('./pages/PasswordPage'));
const QueuePage = lazy(() => import('./pages/QueuePage'));
const TicketPage = lazy(() => import('./pages/TicketPage'));
const FleetPage = lazy(() => import('./pages/FleetPage'));
const MaintenancePage = lazy(() => import('./pages/MaintenancePage'));
const MinePage = lazy(() => import('./pages/MinePage'));
const MyTicketPage = lazy(() => import('./pages/MyTicketPage'));
const TokensPage = lazy(() => import('./pages/TokensPage'));
const AuditPage = lazy(() => import('./pages/AuditPage'));
const NewTicketPage = lazy(() => import('./pages/NewTicketPage'));
const MastersPage = lazy(() => import('./pages/MastersPage'));
const DutyPage = lazy(() => import('./pages/DutyPage'));
const KnowledgePage = lazy(() => import('./pages/KnowledgePage'));
const NoticesPage = lazy(() => import('./pages/NoticesPage'));
const MyNoticesPage = lazy(() => import('./pages/MyNoticesPage'));
const ShelfPage = lazy(() => import('./pages/ShelfPage'));
const DevicePage = lazy(() => import('./pages/DevicePage'));
const ReportsPage = lazy(() => import('./pages/ReportsPage'));
const WallPage = lazy(() => import('./pages/WallPage'));
const AgentPage = lazy(() => import('./pages/AgentPage'));

export function App() {
  return (
    <I18nProvider>
      <Themed />
    </I18nProvider>
  );
}

function Themed() {
  const { language } = useI18n();
  return (
    <ConfigProvider
      locale={language === 'en' ? enUS : zhCN}
      theme={theme}
      wave={{ disabled: true }}
      button={{ autoInsertSpace: false }}
    >
      <AntApp className="app" message={{ maxCount: 3 }}>
        <Boundary>
          <SessionProvider>
            <Suspense fallback={<Loading />}>
              <Gate />
            </Suspense>
          </SessionProvider>
        </Boundary>
      </AntApp>
    </ConfigProvider>
  );
}

/** Nobody passes without a session, nor with a password that must be changed. */
function Gate() {
  const { t } = useI18n();
  const { phase, refresh, ended } = useSession();
  const [place] = useLocation();
  switch (phase.at) {
    case 'asking':
      return <Loading />;
    case 'failed':
      return <Trouble text={errorText(phase.error, t)} onRetry={() => void refresh()} />;
    case 'out':
      return <LoginPage />;
    case 'in':
      if (phase.user.must_change_password) return <PasswordPage forced />;
      // A customer's person has pages of his own, and no live events.
      if (phase.user.role === 'customer') {
        return (
          <Shell user={phase.user}>
            <Suspense fallback={<Loading />}>
              <CustomerPages />
            </Suspense>
          </Shell>
        );
      }
      return (
        <LiveProvider onUnauthorised={ended}>
          {place === '/wall' ? (
            <WallPage />
          ) : (
            <Shell user={phase.user}>
              <Suspense fallback={<Loading />}>
                <Pages />
              </Suspense>
            </Shell>
          )}
        </LiveProvider>
      );
  }
}

function CustomerPages() {
  return (
    <Switch>
      <Route path="/mine" component={MinePage} />
      <Route path="/mine/:number">{({ number }) => <MyTicketPage key={number} number={number} />}</Route>
      <Route path="/password">
        <PasswordPage forced={false} />
      </Route>
      <Route>
        <Redirect to="/mine" replace />
      </Route>
    </Switch>
  );
}

function Pages() {
  const { t } = useI18n();
  return (
    <Switch>
      <Route path="/">
        <Redirect to="/tickets" replace />
      </Route>
      <Route path="/tickets" component={QueuePage} />
      <Route path="/tickets/new" component={NewTicketPage} />
      <Route path="/tickets/:number">{({ number }) => <TicketPage key={number} number={number} />}</Route>
      <Route path="/fleet">
        <FleetPage tab="agents" />
      </Route>
      <Route path="/fleet/devices">
        <FleetPage tab="devices" />
      </Route>
      <Route path="/fleet/devices/:agent/:id">
        {({ agent, id }) => <DevicePage key={`${agent} ${id}`} agent={agent} id={id} />}
      </Route>
      <Route path="/fleet/maintenance" component={MaintenancePage} />
      <Route path="/fleet/agents/:id">{({ id }) => <AgentPage key={id} id={id} />}</Route>
      <Route path="/masters">
        <Redirect to="/masters/customers" replace />
      </Route>
      <Route path="/masters/plans">
        <ShelfPage shelf="plans" />
      </Route>
      <Route path="/masters/calendars">
        <ShelfPage shelf="calendars" />
      </Route>
      <Route path="/masters/:kind">
        {({ kind }) => (isKind(kind) ? <MastersPage kind={kind} /> : <Trouble text={t('app.unknown-page')} />)}
      </Route>
      <Route path="/reports" component={ReportsPage} />
      <Route path="/knowledge" component={KnowledgePage} />
      <Route path="/duty" component={DutyPage} />
      <Route path="/notices" component={NoticesPage} />
      <Route path="/me/notices" component={MyNoticesPage} />
      <Route path="/tokens" component={TokensPage} />
      <Route path="/audit" component={AuditPage} />
      <Route path="/password">
        <PasswordPage forced={false} />
      </Route>
      <Route>
        <Trouble text={t('app.unknown-page')} />
      </Route>
    </Switch>
  );
}
