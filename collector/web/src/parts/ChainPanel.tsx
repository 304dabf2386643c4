import { Alert, App, Button } from 'antd';
import { useState } from 'react';
import { api, type AuditBreak, type AuditState } from '../api';
import { useI18n, type Key, type Translate } from '../i18n';
import { errorText } from '../i18n/errors';
import { isKey } from '../i18n/en';
import { CopyButton } from './CopyButton';
import { Panel } from './Facts';
import { Moment } from './Moment';

/** Whether the record is whole, since when that is known, and a look at once. */
export function ChainPanel({ state, onState }: { state: AuditState; onState(state: AuditState): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [busy, setBusy] = useState(false);
  const verify = () => {
    setBusy(true);
    api
      .verifyAudit()
      .then(onState, (error: unknown) => void message.error(errorText(error, t)))
      .finally(() => setBusy(false));
  };
  return (
    <Panel
      title={t('audit.chain')}
      extra={
        <>
          <span className="grow" />
          <Button size="small" loading={busy} onClick={verify} data-action="verify">
            {t('audit.verify')}
          </Button>
        </>
      }
    >
      <Found state={state} />
    </Panel>
  );
}

function Found({ state: { verdict } }: { state: AuditState }) {
  const { t } = useI18n();
  if (verdict === null) return <p data-chain="unknown">{t('audit.unverified')}</p>;
  const first = verdict.breaks[0];
  return (
    <>
      {verdict.whole ? (
        <Alert type="success" showIcon data-chain="whole" title={t('audit.whole', { row: verdict.good_up_to })} />
      ) : (
        <Alert
          type="error"
          showIcon
          data-chain="broken"
          title={t('audit.broken', { row: first?.row ?? verdict.good_up_to })}
          description={
            <>
              <ul className="breaks">
                {verdict.breaks.map((b) => (
                  <li key={`${b.kind} ${b.row}`} data-break={b.row}>
                    {breakText(b, t)}
                  </li>
                ))}
              </ul>
              <p>{t('audit.broken-hint')}</p>
            </>
          }
        />
      )}
      <p className="hint">
        {t('audit.verified-at')} <Moment at={verdict.at} /> · {t('audit.head')} <code className="rule">{verdict.head}</code>{' '}
        <CopyButton text={verdict.head} />
      </p>
    </>
  );
}

/** What is broken, in the reader's words; a kind of a newer collector in its own. */
function breakText(broken: AuditBreak, t: Translate): string {
  const key = `break.${broken.kind}`;
  return isKey(key) ? t(key as Key & 'break.missing', { row: broken.row, to: broken.to }) : broken.text;
}
