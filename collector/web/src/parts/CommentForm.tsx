import { App, Button, Checkbox, Input } from 'antd';
import { useState } from 'react';
import { api } from '../api';
import { useI18n } from '../i18n';
import { errorText } from '../i18n/errors';

/** Adds a comment to the timeline. What was written stays until it is accepted. */
export function CommentForm({ number, onAdded }: { number: string; onAdded(): void }) {
  const { t } = useI18n();
  const { message } = App.useApp();
  const [text, setText] = useState('');
  const [seen, setSeen] = useState(false);
  const [busy, setBusy] = useState(false);
  const add = async () => {
    if (text.trim() === '') {
      void message.info(t('ticket.comment-missing'));
      return;
    }
    setBusy(true);
    try {
      await api.comment(number, text.trim(), seen);
      setText('');
      void message.success(t('ticket.comment-added'));
      onAdded();
    } catch (error) {
      void message.error(errorText(error, t));
    } finally {
      setBusy(false);
    }
  };
  return (
    <div className="comment-form">
      <Input.TextArea
        name="comment"
        aria-label={t('ticket.comment')}
        placeholder={t('ticket.comment-placeholder')}
        autoSize={{ minRows: 2, maxRows: 10 }}
        maxLength={4000}
        value={text}
        onChange={(e) => setText(e.target.value)}
      />
      <Checkbox checked={seen} onChange={(e) => setSeen(e.target.checked)}>
        {t('service.visible')}
      </Checkbox>
      <Button onClick={() => void add()} loading={busy} data-action="comment">
        {t('ticket.comment-add')}
      </Button>
    </div>
  );
}
