import { Alert, App, Button, Input } from 'antd';
import { useState, type FormEvent } from 'react';
import { useLocation } from 'wouter';
import { api, ApiError } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { passwordFault, SHORTEST } from '../model/password';
import { LanguageSwitch } from '../parts/LanguageSwitch';
import { Logo } from '../parts/Logo';
import { useSession } from '../session';
import { useTitle } from '../title';

/** `forced`: the one-time password must be replaced before anything else. */
export default function PasswordPage({ forced }: { forced: boolean }) {
  const { t } = useI18n();
  useTitle(t('password.title'));
  return (
    <div className={forced ? 'door' : ''}>
      <div className="card" role={forced ? 'main' : undefined}>
        <header>
          <Logo size={40} />
          <div>
            <h1>{t('password.title')}</h1>
            {forced && <p>{t('password.forced')}</p>}
          </div>
        </header>
        <PasswordForm forced={forced} />
      </div>
    </div>
  );
}

function PasswordForm({ forced }: { forced: boolean }) {
  const { t } = useI18n();
  const { refresh, logout } = useSession();
  const { message } = App.useApp();
  const [, go] = useLocation();
  const [old, setOld] = useState('');
  const [fresh, setFresh] = useState('');
  const [again, setAgain] = useState('');
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const fault = passwordFault(old, fresh, again);
    if (fault !== null) {
      setProblem(fault === 'too-short' ? t('password.too-short', { n: SHORTEST }) : t(`password.${fault}`));
      return;
    }
    setBusy(true);
    setProblem(null);
    try {
      await api.changePassword(old, fresh);
    } catch (error) {
      setBusy(false);
      setProblem(passwordError(error, t));
      return;
    }
    void message.success(t('password.done'));
    await refresh();
    if (!forced) go('/tickets');
  };

  return (
    <>
      {problem !== null && <Alert type="error" showIcon title={problem} role="alert" />}
      <form onSubmit={(event) => void submit(event)} noValidate>
        <Field name="old" label={t('password.old')} value={old} onChange={setOld} focus />
        <Field name="new" label={t('password.new')} value={fresh} onChange={setFresh} />
        <p className="hint">{t('password.rule', { n: SHORTEST })}</p>
        <Field name="again" label={t('password.repeat')} value={again} onChange={setAgain} />
        <Button type="primary" size="large" htmlType="submit" block loading={busy}>
          {t('password.submit')}
        </Button>
        {!forced && (
          <Button size="large" block onClick={() => history.back()}>
            {t('password.cancel')}
          </Button>
        )}
      </form>
      {forced && (
        <footer>
          <button type="button" className="quiet light" onClick={() => void logout().catch(refresh)}>
            {t('nav.logout')}
          </button>
          <LanguageSwitch dark={false} />
        </footer>
      )}
    </>
  );
}

interface FieldProps {
  name: string;
  label: string;
  value: string;
  onChange: (value: string) => void;
  focus?: boolean;
}

function Field({ name, label, value, onChange, focus = false }: FieldProps) {
  return (
    <label>
      <span>{label}</span>
      <Input.Password
        name={name}
        size="large"
        autoFocus={focus}
        autoComplete={name === 'old' ? 'current-password' : 'new-password'}
        maxLength={512}
        value={value}
        onChange={(e) => onChange(e.target.value)}
      />
    </label>
  );
}

function passwordError(error: unknown, t: ReturnType<typeof useI18n>['t']): string {
  const refused = error instanceof ApiError && (error.status === 400 || error.code === 'wrong_password');
  if (!refused) return errorText(error, t);
  const text = t('password.refused');
  return error.message === '' ? text : t('error.detail', { text, detail: error.message });
}
