import { App, Button, Checkbox, Input } from 'antd';
import { useState } from 'react';
import { api, type MyNotices } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { named } from '../i18n/named';
import { useFetched } from '../live/fetched';
import { choicesOf, EVENTS, wantedOf } from '../model/notices';
import { Panel } from '../parts/Facts';
import { Trouble } from '../parts/Notice';
import { useTitle } from '../title';

const never = () => false;
const load = (signal: AbortSignal) => api.myNotices(signal);

/** What one wants to be told, and when not. */
export default function MyNoticesPage() {
  const { t } = useI18n();
  useTitle(t('notices.mine'));
  const { data, error, reload } = useFetched(load, never);
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('notices.mine')}</h1>
      </div>
      {error !== null && <Trouble text={errorText(error, t)} onRetry={reload} />}
      {data && <Form mine={data} />}
    </div>
  );
}

function Form({ mine }: { mine: MyNotices }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [mail, setMail] = useState(mine.choices.mail);
  const [wanted, setWanted] = useState(wantedOf(mine.choices));
  const [hours, setHours] = useState(mine.choices.quiet?.hours ?? '');
  const [zone, setZone] = useState(mine.choices.quiet?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone);
  const run = async (act: () => Promise<unknown>, done: string) => {
    try {
      await act();
      void message.success(done);
    } catch (error) {
      void message.error(errorText(error, t));
    }
  };
  return (
    <Panel title={t('notices.events')}>
      <p className={mine.mail === '' ? 'warn' : 'hint'}>
        {mine.mail === '' ? t('notices.no-mail') : t('notices.address', { mail: mine.mail })}
      </p>
      <Checkbox checked={mail} onChange={(e) => setMail(e.target.checked)}>
        {t('notices.by-mail')}
      </Checkbox>
      <Checkbox.Group<string>
        value={wanted}
        disabled={!mail}
        onChange={setWanted}
        options={EVENTS.map((event) => ({ value: event, label: named('told', event, t) }))}
      />
      <label>
        {t('notices.quiet')}
        <Input value={hours} maxLength={11} onChange={(e) => setHours(e.target.value)} data-field="quiet" />
      </label>
      <label>
        {t('notices.zone')}
        <Input value={zone} maxLength={60} onChange={(e) => setZone(e.target.value)} />
      </label>
      <div className="inline">
        <Button
          type="primary"
          data-action="save"
          onClick={() => void run(() => api.chooseNotices(choicesOf(mail, wanted, hours, zone)), t('notices.saved'))}
        >
          {t('notices.save')}
        </Button>
        <Button data-action="try" onClick={() => void run(() => api.tryNotices(), t('notices.tried'))}>
          {t('notices.try')}
        </Button>
      </div>
    </Panel>
  );
}
