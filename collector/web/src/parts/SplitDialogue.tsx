import { App, Button, Checkbox, Input, Modal } from 'antd';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { api, type TicketPage } from '../api';
import { useI18n } from '../i18n';
import { messageText } from '../i18n/catalogue';
import { errorText } from '../i18n/errors';

interface Props {
  page: TicketPage;
  onChanged(): void;
}

/** Faults that are another matter get a ticket of their own. */
export function SplitButton({ page, onChanged }: Props) {
  const { t } = useI18n();
  const [open, setOpen] = useState(false);
  if (page.alarms.length < 2) return null;
  return (
    <>
      <Button size="small" data-action="split" onClick={() => setOpen(true)}>
        {t('split.button')}
      </Button>
      {open && <SplitDialogue page={page} onChanged={onChanged} onClose={() => setOpen(false)} />}
    </>
  );
}

function SplitDialogue({ page: { ticket, alarms }, onChanged, onClose }: Props & { onClose(): void }) {
  const { t, language } = useI18n();
  const { message } = App.useApp();
  const [, go] = useLocation();
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      const { into } = await api.split(ticket.number, ticket.version, [...chosen], reason.trim());
      void message.success(t('split.done', { number: into.number }));
      go(`/tickets/${into.number}`);
    } catch (error) {
      void message.warning(errorText(error, t), 8);
      setBusy(false);
      onChanged();
    }
  };
  return (
    <Modal
      open
      title={t('split.title')}
      mask={{ closable: false }}
      onCancel={onClose}
      cancelText={t('masters.cancel')}
      okText={t('split.run')}
      okButtonProps={{ disabled: chosen.length === 0 || reason.trim() === '', loading: busy }}
      onOk={() => void run()}
    >
      <div className="stacked">
        <p className="hint">{t('split.hint')}</p>
        {alarms.slice(0, 100).map((alarm) => (
          <Checkbox
            key={alarm.alarm_id}
            checked={chosen.includes(alarm.alarm_id)}
            onChange={(e) =>
              setChosen(
                e.target.checked
                  ? [...chosen, alarm.alarm_id]
                  : chosen.filter((one) => one !== alarm.alarm_id),
              )
            }
          >
            {[alarm.device_name, alarm.resource, messageText(alarm.message, alarm.text, language)].join(' · ')}
          </Checkbox>
        ))}
        <Input.TextArea
          name="split-reason"
          aria-label={t('split.reason')}
          placeholder={t('split.reason')}
          maxLength={4000}
          rows={2}
          value={reason}
          onChange={(e) => setReason(e.target.value)}
        />
      </div>
    </Modal>
  );
}
