import { App, Button, Input, Select } from 'antd';
import { useState, type FormEvent } from 'react';
import { useLocation } from 'wouter';
import { api, type NewTicket } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { CLASSES, PRIORITIES } from '../model/desk';
import { instant } from '../model/report';
import { useTitle } from '../title';

const EMPTY: NewTicket = {
  text: '',
  priority: 'p3',
  class: 'service_request',
  site: '',
  serial: '',
  contract: '',
  error_code: '',
  contact: '',
  reach: '',
  access: '',
  model: '',
  os: '',
  wished: '',
  noticed_at: '',
};

const LINES = ['serial', 'site', 'contract', 'error_code', 'contact', 'reach', 'access', 'model', 'os', 'wished'] as const;

/** A ticket by hand, while the customer is on the telephone. */
export default function NewTicketPage() {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [, go] = useLocation();
  const [ticket, setTicket] = useState(EMPTY);
  const [noticed, setNoticed] = useState('');
  const [busy, setBusy] = useState(false);
  useTitle(t('intake.title'));
  const put = (part: Partial<NewTicket>) => setTicket((now) => ({ ...now, ...part }));
  const record = async () => {
    setBusy(true);
    try {
      const { number } = await api.record(ticket);
      void message.success(t('intake.done', { number }));
      go(`/tickets/${number}`);
    } catch (error) {
      setBusy(false);
      void message.error(errorText(error, t), 8);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (ticket.text.trim() !== '') void record();
  };
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t('intake.title')}</h1>
        <span className="hint">{t('intake.hint')}</span>
      </div>
      <form className="panel intake" onSubmit={submit}>
        <label className="stacked whole">
          <span>{t('intake.text')}</span>
          <Input.TextArea
            name="text"
            autoFocus
            rows={4}
            maxLength={4000}
            value={ticket.text}
            onChange={(e) => put({ text: e.target.value })}
          />
        </label>
        {LINES.map((name) => (
          <label key={name} className="stacked">
            <span>{t(`intake.${name}`)}</span>
            <Input name={name} maxLength={500} value={ticket[name]} onChange={(e) => put({ [name]: e.target.value })} />
          </label>
        ))}
        <label className="stacked">
          <span>{t('intake.noticed_at')}</span>
          <Input
            name="noticed_at"
            type="datetime-local"
            value={noticed}
            onChange={(e) => {
              setNoticed(e.target.value);
              put({ noticed_at: instant(e.target.value) });
            }}
          />
        </label>
        <label className="stacked">
          <span>{t('service.priority')}</span>
          <Select
            data-field="priority"
            value={ticket.priority}
            options={PRIORITIES.map((value) => ({ value, label: value.toUpperCase() }))}
            onChange={(priority) => put({ priority })}
          />
        </label>
        <label className="stacked">
          <span>{t('service.class')}</span>
          <Select
            data-field="class"
            value={ticket.class}
            options={CLASSES.map((value) => ({ value, label: t(`class.${value}`) }))}
            onChange={(value) => put({ class: value })}
          />
        </label>
        <div className="whole">
          <Button type="primary" htmlType="submit" data-action="record" loading={busy} disabled={ticket.text.trim() === ''}>
            {t('intake.submit')}
          </Button>
        </div>
      </form>
    </div>
  );
}
