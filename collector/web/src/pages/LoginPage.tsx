import { Alert, Button, Input, type InputRef } from 'antd';
import { useEffect, useRef, useState, type FormEvent } from 'react';
import { api, ApiError, type OidcWay } from '../api';
import { useI18n } from '../i18n';
import { isKey, type Key } from '../i18n/en';
import { errorText } from '../i18n/errors';
import { LanguageSwitch } from '../parts/LanguageSwitch';
import { Logo } from '../parts/Logo';
import { useSession } from '../session';
import { useTitle } from '../title';

export default function LoginPage() {
  const { t } = useI18n();
  const { login, phase } = useSession();
  useTitle(t('login.title'));
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [error, setError] = useState<unknown>(null);
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [way, setWay] = useState<OidcWay | null>(null);
  const [closed, setClosed] = useState(false);
  // Why the provider's way did not end here: once, then the address is as it was.
  const [refused, setRefused] = useState(() => refusal(window.location.search));
  useEffect(() => {
    if (window.location.search !== '') window.history.replaceState(null, '', window.location.pathname);
    api.ways().then(
      (ways) => {
        setWay(ways.oidc ?? null);
        setClosed(ways.password === 'administrators');
      },
      () => undefined, // The password's way is always there.
    );
  }, []);
  const passwordField = useRef<InputRef>(null);
  const ended = phase.at === 'out' && phase.ended;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (name.trim() === '' || password === '') return;
    setBusy(true);
    setError(null);
    setRefused(null);
    try {
      await login(name.trim(), password);
    } catch (failure) {
      setError(failure);
      setBusy(false);
      setPassword('');
      setTried(false);
      passwordField.current?.focus();
    }
  };

  const nameMissing = tried && name.trim() === '';
  const passwordMissing = tried && password === '';
  return (
    <div className="door">
      <main className="card">
        <header>
          <Logo size={40} />
          <div>
            <h1>{t('app.name')}</h1>
            <p>{t('app.tagline')}</p>
          </div>
        </header>
        {error !== null && <Alert type="error" showIcon title={loginError(error, t)} role="alert" />}
        {error === null && refused !== null && <Alert type="error" showIcon title={t(refused as 'login.oidc')} role="alert" />}
        {error === null && refused === null && ended && <Alert type="info" showIcon title={t('login.ended')} />}
        {way !== null && (
          <>
            <Button type="primary" size="large" block href="/api/v1/oidc/start">
              {way.label ?? t('login.oidc')}
            </Button>
            <p className="or">{t(closed ? 'login.for-administrators' : 'login.or-password')}</p>
          </>
        )}
        <form onSubmit={(event) => void submit(event)} noValidate>
          <label>
            <span>{t('login.name')}</span>
            <Input
              name="name"
              size="large"
              autoFocus
              autoComplete="username"
              autoCapitalize="none"
              spellCheck={false}
              maxLength={128}
              value={name}
              onChange={(e) => setName(e.target.value)}
              {...(nameMissing ? { status: 'error' as const } : {})}
            />
          </label>
          {nameMissing && <p className="wrong">{t('login.name-missing')}</p>}
          <label>
            <span>{t('login.password')}</span>
            <Input.Password
              ref={passwordField}
              name="password"
              size="large"
              autoComplete="current-password"
              maxLength={512}
              value={password}
              onChange={(e) => setPassword(e.target.value)}
              {...(passwordMissing ? { status: 'error' as const } : {})}
            />
          </label>
          {passwordMissing && <p className="wrong">{t('login.password-missing')}</p>}
          <Button type={way === null ? 'primary' : 'default'} size="large" htmlType="submit" block loading={busy}>
            {t('login.submit')}
          </Button>
        </form>
        <footer>
          <LanguageSwitch dark={false} />
        </footer>
      </main>
    </div>
  );
}

function loginError(error: unknown, t: ReturnType<typeof useI18n>['t']): string {
  if (error instanceof ApiError && error.code === 'password_login_off') return t('login.password-off');
  if (error instanceof ApiError && error.status === 401) return t('login.wrong');
  if (error instanceof ApiError && error.status === 429) return t('login.too-many');
  return errorText(error, t);
}

/** The text for `?login=oidc-…`, which the collector sends; anything else is nobody's. */
export function refusal(search: string): Key | null {
  const key = `login.${new URLSearchParams(search).get('login') ?? ''}`;
  return key.startsWith('login.oidc-') && isKey(key) ? key : null;
}
