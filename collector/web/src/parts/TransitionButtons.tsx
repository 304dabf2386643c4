import { App, Button, Input, Modal } from 'antd';
import { useState } from 'react';
import { api, ApiError, type Ticket, type TicketState } from '../api';
import { useI18n, type Translate } from '../i18n';
import { errorText } from '../i18n/errors';
import { isState } from './Marks';

interface Props {
  ticket: Ticket;
  allowed: readonly TicketState[];
  commentRequired: readonly TicketState[];
  onChanged(): void;
}

/** The steps that the ticket may take now, each with a comment: some need one. */
export function TransitionButtons({ ticket, allowed, commentRequired, onChanged }: Props) {
  const { t } = useI18n();
  const [to, setTo] = useState<TicketState | null>(null);
  return (
    <div className="actions">
      {allowed.map((next, index) => (
        <Button
          key={next}
          type={index === 0 ? 'primary' : 'default'}
          data-transition={next}
          onClick={() => setTo(next)}
        >
          {actionText(ticket.state, next, t)}
        </Button>
      ))}
      {to !== null && (
        <TransitionDialogue
          ticket={ticket}
          to={to}
          needsComment={commentRequired.includes(to)}
          onChanged={onChanged}
          onClose={() => setTo(null)}
        />
      )}
    </div>
  );
}

function actionText(from: TicketState, to: TicketState, t: Translate): string {
  if (to === 'in_progress' && from !== 'new') return t('transition.reopen');
  if (to === 'in_progress' || to === 'resolved' || to === 'closed') return t(`transition.${to}`);
  return t('transition.other', { state: to });
}

interface DialogueProps {
  ticket: Ticket;
  to: TicketState;
  needsComment: boolean;
  onChanged(): void;
  onClose(): void;
}

function TransitionDialogue({ ticket, to, needsComment, onChanged, onClose }: DialogueProps) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [comment, setComment] = useState('');
  const [busy, setBusy] = useState(false);
  const action = actionText(ticket.state, to, t);
  const hint =
    to === 'resolved'
      ? 'transition.comment-resolved'
      : to === 'in_progress' && needsComment
        ? 'transition.comment-reopened'
        : 'ticket.comment-placeholder';

  const confirm = async () => {
    setBusy(true);
    try {
      await api.transition(ticket.number, to, ticket.version, comment.trim());
      const state = isState(to) ? t(`state.${to}`) : to;
      void message.success(t('ticket.changed', { number: ticket.number, state }));
      onClose();
      onChanged();
    } catch (error) {
      setBusy(false);
      if (error instanceof ApiError && error.status === 409) {
        const late = error.code === 'version_conflict';
        void message.warning(late ? t('ticket.conflict') : errorText(error, t), 8);
        onClose();
        onChanged();
      } else {
        void message.error(errorText(error, t));
      }
    }
  };

  return (
    <Modal
      open
      title={t('transition.title', { action, number: ticket.number })}
      okText={t('transition.confirm', { action })}
      cancelText={t('transition.cancel')}
      confirmLoading={busy}
      okButtonProps={{ disabled: needsComment && comment.trim() === '' }}
      onOk={() => void confirm()}
      onCancel={onClose}
      mask={{ closable: false }}
    >
      <label className="stacked">
        <span>{needsComment ? t('transition.comment-needed') : t('transition.comment')}</span>
        <Input.TextArea
          name="transition-comment"
          autoFocus
          rows={4}
          maxLength={4000}
          placeholder={t(hint)}
          value={comment}
          onChange={(e) => setComment(e.target.value)}
        />
      </label>
    </Modal>
  );
}
