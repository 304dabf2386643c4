import { App, Button, Input, Modal, Select } from 'antd';
import { useState } from 'react';
import { api, ApiError, type Ticket, type TicketState } from '../api';
import { useI18n, type Translate } from '../i18n';
import { errorText } from '../i18n/errors';
import { CATEGORIES, levelsAbove, mayDecide } from '../model/desk';
import { useSession } from '../session';
import { isState } from './Marks';
import { PlanSelect } from './PlanSelect';

interface Props {
  ticket: Ticket;
  allowed: readonly TicketState[];
  commentRequired: readonly TicketState[];
  /** What a manager may decide. */
  decisions: readonly TicketState[];
  onChanged(): void;
}

/** The steps that the ticket may take now, each with what goes with it. */
export function TransitionButtons({ ticket, allowed, commentRequired, decisions, onChanged }: Props) {
  const { t } = useI18n();
  const { phase } = useSession();
  const [to, setTo] = useState<TicketState | null>(null);
  const decides = phase.at === 'in' && mayDecide(phase.user);
  const steps = [...(decides ? decisions : []), ...allowed].filter(
    (next) => next !== 'escalated' || levelsAbove(ticket.level).length > 0,
  );
  return (
    <div className="actions">
      {steps.map((next, index) => (
        <Button
          key={next}
          type={index === 0 ? 'primary' : 'default'}
          danger={next === 'rejected'}
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
          decision={decisions.includes(to)}
          needsComment={commentRequired.includes(to) || decisions.includes(to)}
          onChanged={onChanged}
          onClose={() => setTo(null)}
        />
      )}
    </div>
  );
}

const SETTLED: readonly TicketState[] = ['resolved', 'verified', 'confirmed', 'closed', 'reviewed', 'rejected'];

function actionText(from: TicketState, to: TicketState, t: Translate): string {
  if (SETTLED.includes(from) && (to === 'in_diagnosis' || to === 'waiting_approval')) return t('transition.reopen');
  if (to === 'assigned' || to === 'merged') return t('transition.other', { state: t(`state.${to}`) });
  return t(`transition.${to}`);
}

interface DialogueProps {
  ticket: Ticket;
  to: TicketState;
  decision: boolean;
  needsComment: boolean;
  onChanged(): void;
  onClose(): void;
}

function TransitionDialogue({ ticket, to, decision, needsComment, onChanged, onClose }: DialogueProps) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const levels = levelsAbove(ticket.level);
  const [comment, setComment] = useState('');
  const [level, setLevel] = useState<string>(levels[0] ?? '');
  const [plan, setPlan] = useState('');
  const [closing, setClosing] = useState({ cause: '', fix: '', category: ticket.category ?? 'a' });
  const [busy, setBusy] = useState(false);
  const action = actionText(ticket.state, to, t);
  const reopens = to === 'in_diagnosis' && needsComment;
  const hint =
    to === 'resolved' ? 'transition.comment-resolved' : reopens ? 'transition.comment-reopened' : 'ticket.comment-placeholder';
  const reports = to === 'closed';
  const missing =
    (needsComment && comment.trim() === '') ||
    (reports && (closing.cause.trim() === '' || closing.fix.trim() === ''));

  const go = () => {
    if (decision) return api.decide(ticket.number, to, ticket.version, comment.trim(), plan.trim());
    return api.transition(ticket.number, {
      to,
      version: ticket.version,
      ...(comment.trim() === '' ? {} : { comment: comment.trim() }),
      ...(to === 'escalated' ? { level } : {}),
      ...(reports ? { closing } : {}),
    });
  };
  const confirm = async () => {
    setBusy(true);
    try {
      await go();
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
      okButtonProps={{ disabled: missing }}
      onOk={() => void confirm()}
      onCancel={onClose}
      mask={{ closable: false }}
    >
      <div className="stacked">
        {to === 'escalated' && (
          <label className="stacked">
            <span>{t('transition.level')}</span>
            <Select
              data-field="level"
              value={level}
              options={levels.map((value) => ({ value, label: t(`level.${value}`) }))}
              onChange={setLevel}
            />
          </label>
        )}
        {reports && <Report closing={closing} onChange={setClosing} />}
        {decision && to === 'recorded' && (
          <label className="stacked">
            <span>{t('transition.plan')}</span>
            <PlanSelect value={plan} onChange={setPlan} />
          </label>
        )}
        <label className="stacked">
          <span>{t(decision ? 'transition.reason' : needsComment ? 'transition.comment-needed' : 'transition.comment')}</span>
          <Input.TextArea
            name="transition-comment"
            autoFocus={!reports}
            rows={4}
            maxLength={4000}
            placeholder={t(hint)}
            value={comment}
            onChange={(e) => setComment(e.target.value)}
          />
        </label>
      </div>
    </Modal>
  );
}

interface Closing {
  cause: string;
  fix: string;
  category: string;
}

function Report({ closing, onChange }: { closing: Closing; onChange(closing: Closing): void }) {
  const { t } = useI18n();
  return (
    <>
      {(['cause', 'fix'] as const).map((name) => (
        <label key={name} className="stacked">
          <span>{t(`transition.${name}`)}</span>
          <Input.TextArea
            name={name}
            autoFocus={name === 'cause'}
            rows={2}
            maxLength={4000}
            value={closing[name]}
            onChange={(e) => onChange({ ...closing, [name]: e.target.value })}
          />
        </label>
      ))}
      <label className="stacked">
        <span>{t('transition.category')}</span>
        <Select
          data-field="category"
          value={closing.category}
          options={CATEGORIES.map((value) => ({ value, label: t(`category.${value}`) }))}
          onChange={(category) => onChange({ ...closing, category })}
        />
      </label>
    </>
  );
}
