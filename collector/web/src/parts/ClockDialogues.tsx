import { App, Button, Input, Modal } from 'antd';
import { useState } from 'react';
import { api, type Ticket } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';
import { PlanSelect } from './PlanSelect';

/** Why a clock rests. */
export function PauseDialogue({ clock, onPause, onClose }: { clock: string; onPause(reason: string): void; onClose(): void }) {
  const { t } = useI18n();
  const [reason, setReason] = useState('');
  return (
    <Modal
      open
      title={t('clock.pause-title', { clock })}
      okText={t('clock.pause')}
      okButtonProps={{ disabled: reason.trim() === '' }}
      onOk={() => onPause(reason.trim())}
      onCancel={onClose}
    >
      <label className="stacked">
        <span>{t('clock.pause-reason')}</span>
        <Input name="pause-reason" autoFocus maxLength={500} value={reason} onChange={(e) => setReason(e.target.value)} />
      </label>
    </Modal>
  );
}

/** Another plan for a ticket: a manager's step. */
export function PlanChange({ ticket, onChanged }: { ticket: Pick<Ticket, 'number' | 'version'>; onChanged(): void }) {
  const { t } = useI18n();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button size="small" type="link" data-action="promise-plan" onClick={() => setOpen(true)}>
        {t('plan.change')}
      </Button>
      {open && <PlanDialogue ticket={ticket} onChanged={onChanged} onClose={() => setOpen(false)} />}
    </>
  );
}

interface PlanProps {
  ticket: Pick<Ticket, 'number' | 'version'>;
  onChanged(): void;
  onClose(): void;
}

function PlanDialogue({ ticket, onChanged, onClose }: PlanProps) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [plan, setPlan] = useState('');
  const [reason, setReason] = useState('');
  const [busy, setBusy] = useState(false);
  const promise = async () => {
    setBusy(true);
    try {
      await api.promisePlan(ticket.number, ticket.version, plan, reason.trim());
      onClose();
      onChanged();
    } catch (error) {
      setBusy(false);
      void message.error(errorText(error, t), 8);
    }
  };
  return (
    <Modal
      open
      title={t('plan.change-title')}
      okText={t('plan.promise')}
      okButtonProps={{ disabled: plan === '' || reason.trim() === '', loading: busy }}
      onOk={() => void promise()}
      onCancel={onClose}
    >
      <div className="stacked">
        <p className="hint">{t('plan.change-hint')}</p>
        <label className="stacked">
          <span>{t('transition.plan')}</span>
          <PlanSelect value={plan} onChange={setPlan} />
        </label>
        <label className="stacked">
          <span>{t('transition.reason')}</span>
          <Input.TextArea name="plan-reason" rows={3} maxLength={4000} value={reason} onChange={(e) => setReason(e.target.value)} />
        </label>
      </div>
    </Modal>
  );
}
